// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <new>

#include "caption/caption_json.h"
#include "cli/commands.h"

namespace fastvlm::cli {
namespace {

Exit wrong_use(const CLI::App& program, const CLI::ParseError& problem) {
  std::string command = "fastvlm";
  for (const CLI::App* app = &program; !app->get_subcommands().empty();) {
    app = app->get_subcommands().front();
    command += " " + app->get_name();
  }
  const std::vector<std::string> unknown = program.remaining();
  const bool no_command = program.get_subcommands().empty() && !unknown.empty();
  return report(error(Code::kUsage,
                      no_command ? cat("unknown command ", unknown.front()) : problem.what(),
                      cat("see ", command, " --help")));
}

// CLI11 lets `--option=` take the next argument as its value, which hides an empty shell variable.
Status check_empty_values(int argc, char** argv) {
  for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with("--") || argument.find('=') != argument.size() - 1) continue;
    return error(Code::kUsage, cat(argument, ": expected a value after the sign, found none"),
                 "give the value, or leave the option out");
  }
  return {};
}

int run(int argc, char** argv) {
  handle_signals();
  CLI::App program("Describes pictures with FastVLM, on the CPU.", "fastvlm");
  program.set_version_flag("--version", cat("fastvlm ", program_version()));
  program.require_subcommand(1);
  Command chosen;
  add_commands(program, chosen);
  if (const Status status = check_empty_values(argc, argv); !status.ok()) return report(status);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    if (problem.get_exit_code() != 0) return wrong_use(program, problem);
    program.exit(problem);  // --help, --version
    const Status written = std::cout.flush() ? print("") : stdout_failed();
    return written.ok() ? kDone : report(written);
  }
  try {
    return chosen();
  } catch (const std::bad_alloc&) {
    return report(
        error(Code::kLimit, "out of memory", "close other programs or use a smaller model"));
  }
}

}  // namespace
}  // namespace fastvlm::cli

// Commands report what goes wrong; what still escapes is a bug of ours and may end the program.
int main(int argc, char** argv) {
  return fastvlm::cli::run(argc, argv);
}

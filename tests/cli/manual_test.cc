// SPDX-License-Identifier: Apache-2.0
// The manual page and the completions know every command and option that the program has.
#include "cli/manual.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/commands.h"
#include "cli/program.h"

namespace fastvlm::cli {
namespace {

using testing::HasSubstr;

std::string in_roff(const std::string& name) {
  std::string out;
  for (const char c : name) out += c == '-' ? std::string("\\-") : std::string(1, c);
  return out;
}

TEST(Manual, NamesEveryCommandAndLongOption) {
  CLI::App program("", "fastvlm");
  Command chosen;
  add_commands(program, chosen);
  const std::string page = manual_page(program);
  const std::string bash = bash_completions(program);
  const std::string zsh = zsh_completions(program);
  const std::string fish = fish_completions(program);
  int options = 0;
  for (const ManualCommand& command : all_commands(program)) {
    if (command.app != &program) {
      EXPECT_THAT(page, HasSubstr(".SS " + in_roff(command.name) + "\n"));
      EXPECT_THAT(bash, HasSubstr("'" + command.name + "') options="));
      EXPECT_THAT(zsh, HasSubstr("'" + command.name + "')\n      options="));
      EXPECT_THAT(fish, HasSubstr(" -a " + command.app->get_name() + " -d "));
    }
    for (const CLI::Option* option : command.app->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        ++options;
        EXPECT_THAT(page, HasSubstr("\\-\\-" + in_roff(name))) << command.name;
        EXPECT_THAT(bash, HasSubstr("--" + name)) << command.name;
        EXPECT_THAT(zsh, HasSubstr("'--" + name + ":")) << command.name;
        EXPECT_THAT(fish, HasSubstr(command.name + "\"'")) << command.name;
        EXPECT_THAT(fish, HasSubstr(" -l " + name)) << command.name;
      }
    }
  }
  EXPECT_GT(options, 100);
}

TEST(Manual, ProgramPrintsBoth) {
  const auto man = test::fastvlm({"dev", "man"});
  EXPECT_EQ(man.code, 0);
  EXPECT_THAT(man.out, testing::StartsWith(".TH FASTVLM 1"));
  EXPECT_THAT(man.out, HasSubstr("\n.SS fastvlm dataset build\n"));
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto run = test::fastvlm({"dev", "completions", shell});
    EXPECT_EQ(run.code, 0);
    EXPECT_THAT(run.out, HasSubstr("max-tokens"));
  }
  EXPECT_EQ(test::fastvlm({"dev", "completions", "csh"}).code, 1);
}

}  // namespace
}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
// fastvlm dev: tools for people who work on the program.
#include <memory>

#include "cli/commands.h"
#include "cli/flags.h"
#include "formats/hashed_checkpoint.h"

namespace fastvlm::cli {
namespace {

struct MakeCheckpointCommand {
  std::string kind = "hd-0.5b";
  std::string out;
  HashedCheckpointOptions options;
  ModelFlags machine;

  Exit run();
};

Exit MakeCheckpointCommand::run() {
  std::error_code ignored;
  if (std::filesystem::exists(std::filesystem::path(out) / "config.json", ignored)) {
    return report(error(Code::kUsage, cat("--out ", out, ": holds a checkpoint already"),
                        "name a new folder, or remove that one first"));
  }
  options.tower = kind == "hd-0.5b" ? HashedTower::kFastVitHd : HashedTower::kMobileClipS0;
  const auto pool = machine.prepare();
  if (!pool.ok()) return report(pool.status());
  const Status status = write_hashed_checkpoint(out, options, **pool);
  return status.ok() ? kDone : report(status);
}

}  // namespace

void add_dev(CLI::App& program, Command& chosen) {
  CLI::App* dev = program.add_subcommand("dev", "Tools for work on the program itself");
  dev->require_subcommand(1);
  auto command = std::make_shared<MakeCheckpointCommand>();
  CLI::App* make = dev->add_subcommand(
      "make-checkpoint",
      "Write a checkpoint of real size whose weights are made up, for timing and memory");
  make->add_option("--kind", command->kind, "Tower: FastViTHD or MobileCLIP-S0")
      ->check(CLI::IsMember({"hd-0.5b", "s0-0.5b"}))
      ->capture_default_str();
  make->add_flag("--untied", command->options.untied, "Store a head of its own");
  make->add_option("--bits", command->options.bits,
                   "Of a weight: 32 and 16 as LLaVA, 8 and 4 as an MLX export")
      ->check(CLI::IsMember({4, 8, 16, 32}))
      ->capture_default_str();
  make->add_option("--salt", command->options.salt, "Other texts give other weights");
  make->add_option("--out", command->out, "Folder to write")->required();
  command->machine.add_machine_to(*make);
  make->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli

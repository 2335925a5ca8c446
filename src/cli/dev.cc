// SPDX-License-Identifier: Apache-2.0
// fastvlm dev: tools for people who work on the program.
#include <memory>

#include "base/strings.h"
#include "caption/draft_corpus.h"
#include "cli/commands.h"
#include "cli/find_model.h"
#include "cli/flags.h"
#include "cli/manual.h"
#include "cli/outputs.h"
#include "formats/hashed_checkpoint.h"
#include "language/draft_table.h"

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

struct LearnDraftsCommand {
  std::vector<std::string> data;
  std::string model;
  std::string out;
  DraftTable::Learning learning;

  Exit run() const;
  Status learn() const;
};

Exit LearnDraftsCommand::run() const {
  const Status status = learn();
  return status.ok() ? kDone : report(status);
}

Status LearnDraftsCommand::learn() const {
  FASTVLM_ASSIGN(const FoundModel found, find_model(model));
  std::vector<std::filesystem::path> inputs(data.begin(), data.end());
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(found.folder, ignored)) {
    if (entry.path().extension() != ".drafts") inputs.push_back(entry.path());
  }
  FASTVLM_RETURN_IF_ERROR(check_outputs({{"--out", out}}, inputs));
  FASTVLM_ASSIGN(const Tokenizer tokenizer, Tokenizer::load(found.folder));
  std::vector<std::vector<int32_t>> texts;
  for (const std::string& file : data) {
    FASTVLM_ASSIGN(const std::vector<std::string> captions, read_draft_texts(file));
    for (const std::string& caption : captions) {
      FASTVLM_ASSIGN(std::vector<TokenId> ids, tokenizer.encode(caption, Trust::kUser));
      texts.push_back(std::move(ids));
    }
  }
  const DraftTable table = DraftTable::learn(texts, learning);
  FASTVLM_RETURN_IF_ERROR(table.save(out, vocabulary_digest(tokenizer)));
  note(cat(out, ": ", table.size(), " guesses learnt from ", texts.size(), " captions"));
  return {};
}

void add_learn_drafts(CLI::App& dev, Command& chosen) {
  auto command = std::make_shared<LearnDraftsCommand>();
  CLI::App* learn = dev.add_subcommand(
      "learn-drafts", "Learn from captions what captions often say, so that answers come faster");
  learn->add_option("--data", command->data, "Captions: JSON lines, or the journal of a folder job")
      ->option_text("FILE...")
      ->required();
  learn->add_option("--model,--tokenizer", command->model,
                    "Folder with the tokenizer, or pulled model [FASTVLM_MODEL, or the demo]");
  learn
      ->add_option("--out", command->out,
                   "File to write; captions.drafts in the model's folder "
                   "is used by itself")
      ->check(is_not_empty())
      ->required();
  learn->add_option("--entries", command->learning.entries, "The most guesses that are kept")
      ->check(CLI::Range(size_t{1}, DraftTable::kMostEntries))
      ->capture_default_str();
  learn->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

// Both are read off the program's own tree of commands, by the build.
void add_manual(const CLI::App& program, CLI::App& dev, Command& chosen) {
  CLI::App* man = dev.add_subcommand("man", "Print the manual page");
  const auto print_all = [](const std::string& text) {
    const Status status = print(text);
    return status.ok() ? kDone : report(status);
  };
  man->callback([&program, &chosen, print_all] {
    chosen = [&program, print_all] { return print_all(manual_page(program)); };
  });
  auto shell = std::make_shared<std::string>();
  CLI::App* completions =
      dev.add_subcommand("completions", "Print what a shell needs to complete commands");
  completions->add_option("shell", *shell, "Which")
      ->check(CLI::IsMember({"bash", "zsh", "fish"}))
      ->required();
  completions->callback([&program, &chosen, print_all, shell] {
    chosen = [&program, print_all, shell] {
      if (*shell == "bash") return print_all(bash_completions(program));
      return print_all(*shell == "zsh" ? zsh_completions(program) : fish_completions(program));
    };
  });
}

}  // namespace

void add_dev(CLI::App& program, Command& chosen) {
  CLI::App* dev = program.add_subcommand("dev", "Tools for work on the program itself");
  dev->require_subcommand(1);
  add_learn_drafts(*dev, chosen);
  add_manual(program, *dev, chosen);
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

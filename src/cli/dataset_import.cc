// SPDX-License-Identifier: Apache-2.0
// fastvlm dataset import: people's own pairs of pictures and captions as a data set.
#include <memory>

#include "caption/prompt.h"
#include "cli/dataset_commands.h"
#include "cli/flags.h"
#include "dataset/pairs.h"

namespace fastvlm::cli {
namespace {

struct ImportCommand {
  std::string file;
  std::string images;
  PromptFlags prompt;
  DatasetOutput output;

  Exit run() const;
};

Exit ImportCommand::run() const {
  const auto shares = parse_shares(output.split);
  if (!shares.ok()) return report(shares.status());
  const auto text = prompt.read(seven_point_prompt());
  if (!text.ok()) return report(text.status());
  const auto set = import_pairs(file, {images, *text, output.seed, *shares});
  if (!set.ok()) return report(set.status());
  if (const Status bad = prepare_output(output, {file}); !bad.ok()) return report(bad);
  std::vector<SampleFailure> failures;
  for (const DatasetProblem& problem : set->problems) {
    failures.push_back({cat(problem.file, ":", problem.line), error(Code::kInvalid, problem.what)});
  }
  const DatasetSettings settings = {
      {"imported", shown_name(file)}, {"seed", cat(output.seed)}, {"split", shares_text(*shares)}};
  return finish_dataset(output, set->samples, settings, failures, nlohmann::ordered_json::object());
}

}  // namespace

void add_dataset_import(CLI::App& dataset, Command& chosen) {
  auto command = std::make_shared<ImportCommand>();
  CLI::App* app = dataset.add_subcommand(
      "import", "Your own pairs of pictures and captions: CSV, JSON lines, LLaVA conversations");
  app->add_option("FILE", command->file, "CSV with the columns image and caption, or JSON")
      ->required();
  app->add_option("--images", command->images, "Folder of the pictures")->required();
  command->prompt.add_prompt_to(*app);
  command->output.add_to(*app);
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli

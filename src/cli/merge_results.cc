// SPDX-License-Identifier: Apache-2.0
// fastvlm merge-results OUT IN…
#include <memory>
#include <nlohmann/json.hpp>

#include "caption/journal.h"
#include "caption/merge.h"
#include "cli/commands.h"
#include "cli/outputs.h"
#include "evaluate/evaluation_set.h"

namespace fastvlm::cli {
namespace {

struct MergeResultsCommand {
  std::string output;
  std::vector<std::string> inputs;
  bool overwrite = false;
  bool json = false;
  bool verify = false;  // --verify-objects

  Status check() const;
  Result<MergeReport> merge() const;
  Exit run() const;
};

std::string to_text(const MergeReport& report) {
  const auto line = [](const std::vector<std::string>& images, const std::string& what) {
    return images.empty() ? "" : cat(what, ": ", images.size(), ": ", listed(images), "\n");
  };
  std::string text = cat(report.captions, " captions\n");
  if (report.repeated > 0) text += cat("in several inputs, the same: ", report.repeated, "\n");
  text += line(report.different, "in several inputs, different (the first counts)");
  text += line(report.failed, "failed");
  text += line(report.missing, "not captioned yet");
  std::vector<std::string> shards;
  for (const size_t shard : report.missing_shards) shards.push_back(cat(shard));
  return text + line(shards, "shards that no journal is of");
}

std::string to_json(const MergeReport& report) {
  const nlohmann::ordered_json object = {
      {"captions", report.captions},   {"repeated", report.repeated},
      {"different", report.different}, {"failed", report.failed},
      {"missing", report.missing},     {"missing_shards", report.missing_shards},
      {"complete", report.complete()}};
  return object.dump(2) + "\n";
}

Status MergeResultsCommand::check() const {
  FASTVLM_RETURN_IF_ERROR(check_outputs({{"OUT", output}}, {inputs.begin(), inputs.end()}));
  std::error_code ignored;
  if (!std::filesystem::exists(output, ignored)) return {};
  if (!overwrite) {
    return error(Code::kUsage, cat(output, ": is there already"),
                 "--overwrite replaces it; the output is named first, then the inputs");
  }
  const auto journal = Journal::read(output);
  if (!journal.ok() || journal->plan().shards < 2) return {};
  return error(Code::kUsage,
               cat(output, ": is the journal of shard ", journal->plan().shard, " of ",
                   journal->plan().shards, ", whose captions would be lost"),
               "the output is named first, then the inputs");
}

// What --overwrite replaces goes when the new file is there.
Result<MergeReport> MergeResultsCommand::merge() const {
  const std::filesystem::path old = output + ".replaced";
  std::error_code failed;
  const bool replaces =
      overwrite && output.ends_with(".journal") && std::filesystem::exists(output, failed);
  if (replaces) std::filesystem::rename(output, old, failed);
  auto merged = merge_results({inputs.begin(), inputs.end()}, output, {.grounding = verify});
  if (!replaces) return merged;
  if (merged.ok()) {
    std::filesystem::remove(old, failed);
  } else {
    std::filesystem::rename(old, output, failed);
  }
  return merged;
}

Exit MergeResultsCommand::run() const {
  if (const Status bad = check(); !bad.ok()) return report(bad);
  const auto merged = merge();
  if (!merged.ok()) return report(merged.status());
  const Status printed = print(json ? to_json(*merged) : to_text(*merged));
  if (!printed.ok()) return report(printed);
  return merged->complete() ? kDone : kSomeFailed;
}

}  // namespace

void add_merge_results(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<MergeResultsCommand>();
  CLI::App* app =
      program.add_subcommand("merge-results", "Join the captions that several runs have made");
  app->add_option("output", command->output,
                  "File to write: .jsonl, .json, .csv, .md, .txt or .journal")
      ->option_text("OUT")
      ->required();
  app->add_option("inputs", command->inputs, "Journals of the runs, or JSON lines of captions")
      ->option_text("IN...")
      ->required();
  app->add_flag("--overwrite", command->overwrite, "Replace OUT when it is there");
  app->add_flag("--verify-objects", command->verify,
                "Marks of objects that no tag stands for, as caption --verify-objects writes them");
  app->add_flag("--json", command->json, "What was found as one JSON object");
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli

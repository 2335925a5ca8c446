// SPDX-License-Identifier: Apache-2.0
// fastvlm dataset: making, checking and describing sets of pictures and conversations.
#include "cli/dataset_commands.h"
#include "cli/failures.h"
#include "cli/flags.h"
#include "cli/outputs.h"

namespace fastvlm::cli {
namespace {

using Json = nlohmann::ordered_json;

Json counts_json(const SplitSamples& samples) {
  Json counts = Json::object();
  for (size_t i = 0; i < kSplitCount; ++i) counts[std::string(kSplitNames[i])] = samples[i].size();
  return counts;
}

std::string counts_text(const SplitSamples& samples) {
  std::string text;
  for (size_t i = 0; i < kSplitCount; ++i) {
    text += cat(i > 0 ? ", " : "", samples[i].size(), " ", kSplitNames[i]);
  }
  return text;
}

}  // namespace

void DatasetOutput::add_to(CLI::App& command) {
  command
      .add_option("--out", out,
                  "Folder to write; files of its names that no data set wrote are refused")
      ->required();
  command.add_option("--split", split, "Shares of train, val and test")->capture_default_str();
  command.add_option("--seed", seed, "Of the choice, the order and the words")
      ->check(is_seed())
      ->capture_default_str();
  command.add_flag("--json", json, "One JSON object");
}

Status prepare_output(const DatasetOutput& output,
                      const std::vector<std::filesystem::path>& inputs) {
  FASTVLM_RETURN_IF_ERROR(prepare_dataset_folder(output.out));
  std::vector<Output> files;
  const std::filesystem::path folder = output.out;
  for (const std::string& name : dataset_file_names()) files.push_back({"--out", folder / name});
  return check_outputs(files, inputs);
}

std::string shares_text(const SplitShares& shares) {
  return cat(shares[0], ",", shares[1], ",", shares[2]);
}

Exit finish_dataset(const DatasetOutput& output, const SplitSamples& samples,
                    const DatasetSettings& settings, const std::vector<SampleFailure>& failures,
                    const Json& left_out) {
  if (const size_t more = list_failures(failures); more > 0) note(cat("and ", more, " more"));
  size_t made = 0;
  for (const auto& split : samples) made += split.size();
  if (made == 0) {
    return report(error(Code::kInvalid,
                        cat(output.out, ": nothing was written: no sample could be made"),
                        "see what failed above"));
  }
  if (const Status status = write_dataset(output.out, samples, settings); !status.ok()) {
    return report(status);
  }
  Json failed = Json::array();
  for (const SampleFailure& failure : failures) {
    failed.push_back({{"image", failure.image}, {"error", failure.why.message}});
  }
  const Json object = {{"folder", output.out},
                       {"samples", counts_json(samples)},
                       {"left_out", left_out},
                       {"failed", std::move(failed)}};
  const std::string text = output.json
                               ? object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"
                               : cat(output.out, ": ", made, made == 1 ? " sample (" : " samples (",
                                     counts_text(samples), ")\n");
  if (const Status written = print(text); !written.ok()) return report(written);
  return failures.empty() ? kDone : kSomeFailed;
}

void add_dataset(CLI::App& program, Command& chosen) {
  CLI::App* app =
      program.add_subcommand("dataset", "Make, import, check and describe data sets for training");
  app->require_subcommand(1);
  add_dataset_build(*app, chosen);
  add_dataset_import(*app, chosen);
  add_dataset_check(*app, chosen);
  add_dataset_stats(*app, chosen);
}

}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
// fastvlm card: the model card of a fine-tuned model, from what was measured.
#include <memory>
#include <nlohmann/json.hpp>

#include "caption/engine.h"
#include "cli/commands.h"
#include "cli/outputs.h"
#include "cli/run_facts.h"
#include "formats/atomic_file.h"
#include "hub/catalog.h"
#include "language/adapter_file.h"
#include "train/model_card.h"

namespace fastvlm::cli {
namespace {

using Json = nlohmann::ordered_json;

struct CardCommand {
  std::string run_folder;
  std::string base;
  std::string license;
  std::vector<std::string> datasets;
  std::vector<std::string> evaluations;
  std::vector<std::string> benches;
  std::string merged;
  std::string quantized;
  std::string out;
  bool json = false;

  Status run() const;

 private:
  Result<CardInputs> inputs() const;
  Result<std::string> chosen_license(const RunRecord& record) const;
};

std::string folder_name(const std::filesystem::path& folder) {
  return (folder / "").lexically_normal().parent_path().filename().string();
}

Result<std::optional<ModelFolder>> describe_folder(const std::string& folder) {
  if (folder.empty()) return std::optional<ModelFolder>();
  FASTVLM_ASSIGN(const Checkpoint checkpoint, Checkpoint::open(folder));
  return std::optional<ModelFolder>(
      {folder_name(folder), weights_description(checkpoint), bytes_of_files(folder)});
}

Result<std::string> CardCommand::chosen_license(const RunRecord& record) const {
  if (license.empty() && record.license.empty()) {
    return error(
        Code::kUsage,
        cat(run_folder, ": the files of its base, ", printable(record.model), ", state no licence"),
        "say it with --license NAME, for weights derived from Apple's --license apple-amlr");
  }
  if (!license.empty() && !record.license.empty() && license != record.license) {
    return error(Code::kUsage,
                 cat("--license ", license, ": the base's files state ", printable(record.license)),
                 "leave --license out: what is derived from a model stands under its licence");
  }
  return license.empty() ? record.license : license;
}

Result<CardInputs> CardCommand::inputs() const {
  const std::filesystem::path folder = run_folder;
  FASTVLM_ASSIGN(std::optional<RunRecord> record, read_run_record(folder));
  if (!record || record->parts.empty() || record->steps == 0) {
    return error(Code::kNotFound, cat(run_folder, ": holds no training run (", kRunRecordFile, ")"),
                 "name the folder that `fastvlm train --out` wrote");
  }
  CardInputs in;
  FASTVLM_ASSIGN(in.license, chosen_license(*record));
  FASTVLM_ASSIGN(in.steps, read_metrics(folder / kMetricsFile));
  std::error_code failed;
  for (const char* file : {kAdapterConfigFile, kAdapterTensorFile}) {
    in.adapter_bytes += static_cast<int64_t>(std::filesystem::file_size(folder / file, failed));
    if (!failed) continue;
    return error(Code::kNotFound, cat((folder / file).string(), ": is missing"),
                 "finish the run first, with `fastvlm train --resume`");
  }
  FASTVLM_ASSIGN(in.merged, describe_folder(merged));
  FASTVLM_ASSIGN(in.quantized, describe_folder(quantized));
  for (const std::string& file : evaluations) {
    FASTVLM_RETURN_IF_ERROR(add_evaluation(file, in));
  }
  for (const std::string& file : benches) FASTVLM_RETURN_IF_ERROR(fastvlm::add_bench(file, in));
  in.run = folder_name(folder);
  in.name = in.quantized ? in.quantized->name : in.merged ? in.merged->name : in.run;
  in.base = base;
  // Addresses and folders are no base of a model card.
  if (base.empty() && is_repository(record->source)) in.base = record->source;
  in.datasets = datasets;
  in.record = std::move(*record);
  return in;
}

Status CardCommand::run() const {
  std::vector<std::filesystem::path> read(evaluations.begin(), evaluations.end());
  read.insert(read.end(), benches.begin(), benches.end());
  for (const char* file : {kRunRecordFile, kMetricsFile, kAdapterConfigFile, kAdapterTensorFile}) {
    read.push_back(std::filesystem::path(run_folder) / file);
  }
  FASTVLM_RETURN_IF_ERROR(check_outputs({{"--out", out}}, read));
  FASTVLM_ASSIGN(const CardInputs in, inputs());
  const ModelCard card = model_card(in);
  if (!out.empty()) FASTVLM_RETURN_IF_ERROR(write_file_atomically(out, card.text));
  if (json) {
    const Json result{{"card", card.text}, {"missing", card.missing}};
    return print(result.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  return out.empty() ? print(card.text) : Status{};
}

}  // namespace

void add_card(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<CardCommand>();
  CLI::App* app = program.add_subcommand(
      "card", "Write the model card of a trained model, from what was measured");
  app->add_option("run", command->run_folder, "Folder of a finished run of `fastvlm train`")
      ->required()
      ->option_text("RUN");
  app->add_option("--base", command->base, "The base's name on a hub [where it was pulled from]")
      ->option_text("OWNER/NAME");
  app->add_option("--license", command->license, "If the base's files state none, as in apple-amlr")
      ->option_text("NAME");
  app->add_option("--dataset", command->datasets, "A data set's name on a hub; may be repeated")
      ->option_text("OWNER/NAME");
  app->add_option("--evaluation", command->evaluations,
                  "What `evaluate --json` or `rate --summary --json` printed")
      ->option_text("FILE...");
  app->add_option("--bench", command->benches, "What `bench --card PICTURE --json` printed")
      ->option_text("FILE...");
  app->add_option("--merged", command->merged, "The merged model, for its size")
      ->option_text("DIR");
  app->add_option("--quantized", command->quantized, "The quantised model, for its size")
      ->option_text("DIR");
  app->add_option("--out", command->out, "Write the card here, as README.md [stdout]")
      ->option_text("FILE");
  app->add_flag("--json", command->json, "The card and what is missing in it as one JSON object");
  app->callback([command, &chosen] {
    chosen = [command] {
      const Status status = command->run();
      return status.ok() ? kDone : report(status);
    };
  });
}

}  // namespace fastvlm::cli

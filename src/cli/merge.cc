// SPDX-License-Identifier: Apache-2.0
// fastvlm merge: an adapter written into the model that it was trained on.
#include "quantize/merge.h"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/adapter_flag.h"
#include "cli/commands.h"
#include "cli/find_model.h"
#include "cli/flags.h"
#include "language/adapter_file.h"
#include "quantize/comparison.h"

namespace fastvlm::cli {
namespace {

using Json = nlohmann::ordered_json;

struct MergeCommand {
  ModelFlags model;
  std::string out;
  std::string dtype;  // empty: the base's
  uint64_t shard_bytes = 5'000'000'000;
  double bound = 0;  // of the logits' error; 0: by the type
  bool dequantize = false;
  bool json = false;

  Exit run() const;
  MergeOptions options(float strength) const;
};

struct Outcome {
  AdapterMergeReport report;
  ModelComparison comparison;
  double bound = 0;

  bool holds() const { return comparison.logits_error <= bound; }
};

// What rounding the sum to the type may do to the logits, and no more.
double bound_of(DType dtype) {
  if (dtype == DType::kF32) return 1e-4;
  return dtype == DType::kF16 ? 5e-3 : 3e-2;
}

const char* type_name(DType dtype) {
  if (dtype == DType::kF32) return "f32";
  return dtype == DType::kF16 ? "f16" : "bf16";
}

MergeOptions MergeCommand::options(float strength) const {
  MergeOptions options;
  options.strength = strength;
  options.dequantize = dequantize;
  options.shard_bytes = static_cast<int64_t>(std::min<uint64_t>(shard_bytes, INT64_MAX));
  if (dtype == "f32") options.dtype = DType::kF32;
  if (dtype == "f16") options.dtype = DType::kF16;
  if (dtype == "bf16") options.dtype = DType::kBF16;
  return options;
}

Result<Outcome> merge(const MergeCommand& command, ThreadPool& pool) {
  FASTVLM_ASSIGN(const AdapterFlag chosen, parse_adapter(command.model.adapter));
  FASTVLM_ASSIGN(const auto found, find_model(command.model.model));
  FASTVLM_ASSIGN(const Checkpoint base,
                 Checkpoint::open(found.folder, {command.model.tower_path()}));
  FASTVLM_ASSIGN(const LoraAdapter adapter, load_adapter(chosen.folder, base.config().language));
  Outcome outcome;
  FASTVLM_ASSIGN(outcome.report,
                 merge_adapter(base, adapter, command.out, command.options(chosen.strength), pool));
  outcome.bound = command.bound > 0 ? command.bound : bound_of(outcome.report.dtype);
  FASTVLM_ASSIGN(const Checkpoint merged, Checkpoint::open(command.out));
  FASTVLM_ASSIGN(const auto probes, probe_ids(base));
  FASTVLM_ASSIGN(outcome.comparison,
                 compare_models(base, merged, probes, pool, {&adapter, chosen.strength}));
  return outcome;
}

std::string as_text(const Outcome& outcome, const MergeCommand& command) {
  const AdapterMergeReport& report = outcome.report;
  const ModelComparison& found = outcome.comparison;
  return cat(command.out, ": ", megabytes(static_cast<double>(report.bytes)), " in ",
             report.files.size(), report.files.size() == 1 ? " file" : " files", ", ",
             report.adapted, " matrices merged, ", report.projector ? "the projector taken, " : "",
             type_name(report.dtype), "\nagainst base and adapter: logits' error ",
             found.logits_error, " (bound ", outcome.bound, "), at most ", found.largest_difference,
             " off; the likeliest token is the same in ", fixed(100 * found.agreement, 2), " % of ",
             found.positions, " positions\n");
}

std::string as_json(const Outcome& outcome) {
  const AdapterMergeReport& report = outcome.report;
  const ModelComparison& found = outcome.comparison;
  const Json document = {{"files", report.files},
                         {"bytes", report.bytes},
                         {"adapted", report.adapted},
                         {"projector", report.projector},
                         {"dtype", type_name(report.dtype)},
                         {"verification",
                          {{"positions", found.positions},
                           {"logits_error", found.logits_error},
                           {"bound", outcome.bound},
                           {"largest_difference", found.largest_difference},
                           {"agreement", found.agreement},
                           {"holds", outcome.holds()}}}};
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Exit MergeCommand::run() const {
  const auto pool = model.prepare();
  if (!pool.ok()) return report(pool.status());
  const auto outcome = merge(*this, **pool);
  if (!outcome.ok()) return report(outcome.status());
  const Status written = print(json ? as_json(*outcome) : as_text(*outcome, *this));
  if (!written.ok()) return report(written);
  return outcome->holds() ? kDone : kCheckFailed;
}

}  // namespace

void add_merge(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<MergeCommand>();
  CLI::App* app =
      program.add_subcommand("merge", "Write an adapter into the model that it was trained on");
  command->model.add_model_to(*app);
  command->model.add_adapter_to(*app);
  app->get_option("--adapter")->required();
  app->add_option("--out", command->out, "Folder to write, absent or empty")->required();
  app->add_option("--dtype", command->dtype,
                  "Of the weights written: f32, f16 or bf16 [the base's]")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}));
  app->add_option("--max-shard-size", command->shard_bytes, "Of a weight file, such as 2GB")
      ->transform(CLI::AsSizeValue(true))
      ->check(CLI::PositiveNumber)
      ->default_str("5GB");
  app->add_option("--bound", command->bound,
                  "Error of the logits that is accepted, else exit code 4 [by the type]")
      ->check(CLI::PositiveNumber);
  app->add_flag("--dequantize", command->dequantize,
                "Accept a quantised base: its errors stay in the result");
  app->add_flag("--json", command->json, "One JSON object");
  command->model.add_machine_to(*app);
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli

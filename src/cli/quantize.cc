// SPDX-License-Identifier: Apache-2.0
// fastvlm quantize: a float checkpoint as a small MLX export.
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "caption/engine.h"
#include "caption/picture_list.h"
#include "cli/commands.h"
#include "cli/find_model.h"
#include "cli/flags.h"
#include "cli/progress.h"
#include "image/decode.h"
#include "image/preprocess.h"
#include "quantize/comparison.h"
#include "quantize/export.h"
#include "quantize/export_keys.h"

namespace fastvlm::cli {
namespace {

using Json = nlohmann::ordered_json;

struct QuantizeCommand {
  ModelFlags model;
  std::string out;
  std::string layout = "apple";
  std::string recipe = "uniform";
  std::string quantizer = "mlx";
  std::string pictures;  // folder, to calibrate on
  AffineSettings settings;
  bool verify = false;
  bool json = false;

  Exit run() const;
};

// What was written and, when asked, how it compares.
struct QuantizeOutcome {
  ExportReport report;
  Layout layout = Layout::kMlxPatch;
  std::vector<std::string> problems;  // of other readers
  std::optional<ModelComparison> comparison;
};

std::string percent(double share) {
  return fixed(100 * share, 2) + " %";
}

std::string as_text(const QuantizeOutcome& outcome, const QuantizeCommand& command) {
  const ExportReport& report = outcome.report;
  std::string text =
      cat(command.out, ": ", megabytes(static_cast<double>(report.bytes)), ", ",
          with_thousands(report.parameters), " parameters; ", report.quantized, " matrices at ",
          command.settings.bits, " bits (group ", command.settings.group, ", ", command.recipe,
          "), ", report.kept, " tensors as F16\n");
  for (const std::string& name : report.left_out) {
    text += cat("  ", name, ": kept as F16, its width is no multiple of the group\n");
  }
  if (!outcome.comparison) return text;
  const ModelComparison& found = *outcome.comparison;
  text += cat("readers: ", readers_of(outcome.layout),
              outcome.problems.empty() ? ": every tensor and key is found\n" : ":\n");
  for (const std::string& problem : outcome.problems) text += cat("  ", problem, "\n");
  text += cat("logits: error ", percent(found.logits_error), ", at most ",
              fixed(found.largest_difference, 3), " off; the likeliest token is the same in ",
              percent(found.agreement), " of ", found.positions, " positions\n");
  const int64_t worst = found.worst_layer();
  text += cat("layers: worst ",
              worst == 0 ? std::string("the embedding")
                         : cat("behind block ", worst, " of ", found.layers.size() - 1),
              ", error ", percent(found.layers[static_cast<size_t>(worst)]), "\n");
  return text;
}

std::string as_json(const QuantizeOutcome& outcome, const QuantizeCommand& command) {
  const ExportReport& report = outcome.report;
  Json document = {{"files", report.files},
                   {"bytes", report.bytes},
                   {"parameters", report.parameters},
                   {"quantized", report.quantized},
                   {"kept", report.kept},
                   {"left_out", report.left_out},
                   {"bits", command.settings.bits},
                   {"group_size", command.settings.group},
                   {"recipe", command.recipe},
                   {"quantizer", command.quantizer}};
  if (outcome.comparison) {
    const ModelComparison& found = *outcome.comparison;
    document["verification"] = {{"readers", readers_of(outcome.layout)},
                                {"problems", outcome.problems},
                                {"positions", found.positions},
                                {"logits_error", found.logits_error},
                                {"largest_difference", found.largest_difference},
                                {"agreement", found.agreement},
                                {"layers", found.layers}};
  }
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// What the language model's layers read while it captions pictures.
Result<Importance> calibrate(const QuantizeCommand& command, const std::filesystem::path& model,
                             ThreadPool& pool) {
  FASTVLM_ASSIGN(const std::vector<Picture> pictures,
                 find_pictures(Selection{.places = {command.pictures}}));
  EngineOptions options;
  options.model = model;
  options.vision_tower = command.model.tower_path();
  options.language = Arithmetic::kF32;
  FASTVLM_ASSIGN(const std::shared_ptr<const Engine> engine, Engine::load(options, pool));
  FASTVLM_ASSIGN(const std::shared_ptr<const Qwen2> language, engine->language(pool));
  Session session(engine, pool);
  const CaptionRequest request;
  Importance importance;
  Progress progress(false);
  for (size_t i = 0; i < pictures.size(); ++i) {
    progress.show([&](double) { return cat("pictures read: ", i, " of ", pictures.size()); });
    FASTVLM_ASSIGN(const Image picture, load_image(pictures[i].path));
    FASTVLM_ASSIGN(const Caption caption, session.caption(picture, request));
    FASTVLM_ASSIGN(
        std::vector<TokenId> ids,
        conversation_ids(engine->tokenizer(), question_text({}, request.prompt), request.order));
    FASTVLM_RETURN_IF_ERROR(append_answer(engine->tokenizer(), caption.text, ids));
    Timings ignored;
    FASTVLM_ASSIGN(const Tokens tokens,
                   engine->see(preprocess(picture, engine->preprocessing()), pool, ignored));
    FASTVLM_ASSIGN(const std::vector<float> rows, splice(*language, ids, tokens));
    FASTVLM_RETURN_IF_ERROR(importance.add(*language, rows, pool));
  }
  return importance;
}

Result<QuantizeOutcome> quantize(const QuantizeCommand& command, ThreadPool& pool) {
  const Quantizer quantizer = command.quantizer == "mlx" ? Quantizer::kMlx : Quantizer::kSearch;
  if (!command.pictures.empty() && quantizer == Quantizer::kMlx) {
    return error(Code::kUsage, "--calibrate: MLX's own bits depend on the weights alone",
                 "add --quantizer search");
  }
  FASTVLM_ASSIGN(const auto found, find_model(command.model.model));
  FASTVLM_ASSIGN(const Checkpoint source,
                 Checkpoint::open(found.folder, {command.model.tower_path()}));
  QuantizeOutcome outcome;
  outcome.layout = command.layout == "apple" ? Layout::kMlxPatch : Layout::kMlxVlm;
  FASTVLM_ASSIGN(const Recipe recipe,
                 make_recipe(command.recipe, command.settings, source.config().language.tied));
  ExportOptions options{outcome.layout, recipe, quantizer};
  FASTVLM_RETURN_IF_ERROR(check_export(source, command.out, options));
  Importance importance;
  if (!command.pictures.empty()) {
    FASTVLM_ASSIGN(importance, calibrate(command, found.folder, pool));
    options.importance = &importance;
  }
  FASTVLM_ASSIGN(outcome.report, export_quantized(source, command.out, options, pool));
  if (!command.verify) return outcome;
  FASTVLM_ASSIGN(outcome.problems, check_export_keys(command.out, outcome.layout));
  FASTVLM_ASSIGN(const Checkpoint written, Checkpoint::open(command.out));
  FASTVLM_ASSIGN(const auto probes, probe_ids(source));
  FASTVLM_ASSIGN(outcome.comparison, compare_models(source, written, probes, pool));
  return outcome;
}

Exit QuantizeCommand::run() const {
  const auto pool = model.prepare();
  if (!pool.ok()) return report(pool.status());
  const auto outcome = quantize(*this, **pool);
  if (!outcome.ok()) return report(outcome.status());
  const Status written = print(json ? as_json(*outcome, *this) : as_text(*outcome, *this));
  if (!written.ok()) return report(written);
  return outcome->problems.empty() ? kDone : kCheckFailed;
}

}  // namespace

void add_quantize(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<QuantizeCommand>();
  CLI::App* app = program.add_subcommand(
      "quantize", "Write a float checkpoint as an MLX export with few bits a weight");
  command->model.add_model_to(*app);
  app->add_option("--out", command->out, "Folder to write, absent or empty")->required();
  app->add_option("--bits", command->settings.bits, "Of a weight: 2, 3, 4, 6 or 8")
      ->check(CLI::IsMember({2, 3, 4, 6, 8}))
      ->capture_default_str();
  app->add_option("--group", command->settings.group, "Weights that share a scale: 32, 64 or 128")
      ->check(CLI::IsMember({32, 64, 128}))
      ->capture_default_str();
  app->add_option("--layout", command->layout,
                  "Names and shapes: of Apple's patch (and app), or of mlx-vlm")
      ->check(CLI::IsMember({"apple", "mlx-vlm"}))
      ->capture_default_str();
  app->add_option("--recipe", command->recipe,
                  "The head, or embedding and head, at 8 bits; Apple's app reads uniform alone")
      ->check(CLI::IsMember(recipe_names()))
      ->capture_default_str();
  app->add_option("--quantizer", command->quantizer,
                  "MLX's own bits, or a search for scales with a smaller error")
      ->check(CLI::IsMember({"mlx", "search"}))
      ->capture_default_str();
  app->add_option("--calibrate", command->pictures,
                  "Folder of pictures: inputs that are large while the model captions them ask for "
                  "closer weights (--quantizer search)");
  app->add_flag("--verify", command->verify,
                "Compare with the source, and with what other programs look for (exit code 4)");
  app->add_flag("--json", command->json, "One JSON object");
  command->model.add_machine_to(*app);
  app->callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace fastvlm::cli

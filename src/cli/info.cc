// SPDX-License-Identifier: Apache-2.0
// fastvlm info: the machine, the kernels chosen, and what a model is made of.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/cpu.h"
#include "caption/caption_json.h"
#include "cli/commands.h"
#include "cli/find_model.h"
#include "cli/flags.h"
#include "kernels/table.h"
#include "vision/tower_plan.h"

namespace fastvlm::cli {
namespace {

using Json = nlohmann::ordered_json;

struct InfoCommand {
  ModelFlags model;
  bool json = false;

  Status run() const;
};

Json machine_facts(const ThreadPool& pool) {
  const CpuFeatures& cpu = cpu_features();
  std::vector<std::string> features;
  const auto add = [&features](bool has, const char* name) {
    if (has) features.emplace_back(name);
  };
  add(cpu.avx2_fma, "avx2+fma");
  add(cpu.avx_vnni, "avx-vnni");
  add(cpu.avx512, "avx512");
  add(cpu.avx512_vnni, "avx512-vnni");
  add(cpu.avx512_bf16, "avx512-bf16");
  add(cpu.neon, "neon");
  add(cpu.neon_dotprod, "neon-dotprod");
  add(cpu.neon_i8mm, "neon-i8mm");
  return {{"processor", cpu_model_name()},
          {"processors", cpu_count()},
          {"memory", megabytes(static_cast<double>(memory_total()))},
          {"instruction sets", joined(features)},
          {"kernels", cat(current_isa(), " (of ", joined(available_isas()), ")")},
          {"threads", pool.size()}};
}

int64_t parameters_below(const Checkpoint& checkpoint, std::string_view prefix) {
  int64_t total = 0;
  for (const std::string& name : checkpoint.names()) {
    if (!std::string_view(name).starts_with(prefix)) continue;
    int64_t elements = 1;
    for (const int64_t side : checkpoint.shape(name).value_or(std::vector<int64_t>{0}))
      elements *= side;
    total += elements;
  }
  return total;
}

Json layout_facts(const Checkpoint& checkpoint) {
  const LanguageConfig& language = checkpoint.config().language;
  return {
      {"folder", checkpoint.folder().string()},
      {"layout", cat(layout_name(checkpoint.layout()), " (", checkpoint.config().model_type, ")")},
      {"weights", weights_description(checkpoint)},
      {"language model",
       cat(language.layers, " layers, ", language.hidden_size, " wide, ", language.heads,
           " heads (", language.kv_heads, " for keys), vocabulary ", language.vocab_size)},
      {"language parameters", with_thousands(parameters_below(checkpoint, "model.") +
                                             parameters_below(checkpoint, "lm_head."))},
      {"head", language.tied ? "tied to the embedding" : "its own"},
      {"projector parameters", with_thousands(parameters_below(checkpoint, "projector."))},
      {"end tokens", joined([&] {
         std::vector<std::string> ids;
         for (const int64_t id : checkpoint.config().eos_token_ids)
           ids.push_back(std::to_string(id));
         return ids;
       }())},
      {"context", checkpoint.config().max_context}};
}

// What a caption with the default prompt and 256 new tokens will hold.
Json memory_facts(const MemoryPlan& plan) {
  const auto shown = [](int64_t bytes) { return megabytes(static_cast<double>(bytes)); };
  return {
      {"program and tokenizer", shown(plan.program)},
      {"tower and projector", cat(shown(plan.encoder), " + ", shown(plan.encoding), " at work")},
      {"language model", cat(shown(plan.language), " + ", shown(plan.decoding), " at work")},
      {"peak for one picture", cat(shown(plan.peak_in_turns()), ", one after the other")},
      {"peak for several", cat(shown(plan.peak()), ", or as --memory says")}};
}

Result<Json> model_facts(const InfoCommand& command, const std::filesystem::path& folder,
                         ThreadPool& pool) {
  FASTVLM_ASSIGN(const Checkpoint checkpoint,
                 Checkpoint::open(folder, {command.model.tower_path()}));
  for (const std::string& line : checkpoint.warnings()) warn(line);
  Json facts = layout_facts(checkpoint);
  if (!checkpoint.has_vision()) {
    facts["tower"] = "none in the checkpoint; name one with --vision-tower";
    return facts;
  }
  const Arithmetic precision = vision_arithmetic(command.model.arithmetic());
  const EngineOptions defaults;
  const TowerPlan planned = plan_tower(checkpoint, precision);
  FASTVLM_ASSIGN(const Preprocessing preprocessing,
                 preprocessing_of(checkpoint.config(), planned.stride, defaults));
  const auto tokenizer = Tokenizer::load(folder);  // for the plan; a model may lack one here
  const MemoryPlan plan =
      plan_memory(checkpoint, planned, preprocessing.size, defaults.text_tokens);
  FASTVLM_ASSIGN(const VisionTower tower, VisionTower::load(checkpoint, pool, precision));
  facts["tower"] = tower.kind();
  facts["tower parameters"] = with_thousands(tower.parameters());
  facts["tower form"] = tower.is_training_form() ? "training, folded at load" : "inference";
  facts["tower precision"] = cat(arithmetic_name(precision),
                                 command.model.arithmetic() ? ", as asked" : ", chosen by auto");
  facts["image tokens"] = tower.token_count(preprocessing.size, preprocessing.size);
  facts["preprocessing"] = describe(preprocessing);
  facts["memory"] = memory_facts(plan);
  return facts;
}

std::string rendered(const Json& facts, const std::string& indent) {
  size_t width = 0;
  for (const auto& [key, value] : facts.items()) {
    if (!value.is_object()) width = std::max(width, key.size());
  }
  std::string text;
  for (const auto& [key, value] : facts.items()) {
    if (value.is_object()) {
      text += cat(indent, key, "\n", rendered(value, indent + "  "));
    } else {
      const std::string shown = value.is_string() ? value.get<std::string>() : value.dump();
      text += cat(indent, key, std::string(width - key.size() + 2, ' '), shown, "\n");
    }
  }
  return text;
}

Status InfoCommand::run() const {
  FASTVLM_ASSIGN(const auto pool, model.prepare());
  Json facts = {{"program", cat("fastvlm ", program_version())}, {"machine", machine_facts(*pool)}};
  const auto found = find_model(model.model);
  if (found.ok()) {
    FASTVLM_ASSIGN(facts["model"], model_facts(*this, found->folder, *pool));
  } else if (!model.model.empty()) {
    return found.status();
  }
  if (!json) return print(rendered(facts, ""));
  return print(facts.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace

void add_info(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<InfoCommand>();
  CLI::App* app =
      program.add_subcommand("info", "Show the machine, the kernels and what a model is made of");
  app->add_option("model", command->model.model,
                  "Checkpoint folder or pulled model [FASTVLM_MODEL, or the demo]")
      ->option_text("MODEL");
  app->add_flag("--json", command->json, "One JSON object");
  app->add_option("--vision-tower", command->model.vision_tower,
                  "Vision tower: file or folder, if not in the model");
  command->model.add_precision_to(*app);
  command->model.add_machine_to(*app);
  app->callback([command, &chosen] {
    chosen = [command] {
      const Status status = command->run();
      return status.ok() ? kDone : report(status);
    };
  });
}

}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/train_options.h"

#include <cmath>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/strings.h"
#include "cli/outputs.h"
#include "language/adapter_file.h"
#include "train/energy.h"
#include "train/run_files.h"

namespace fastvlm::cli {

void TrainOptions::add_to(CLI::App& app) {
  command = &app;
  model.add_model_to(app);
  app.add_option("--data", data, "Conversations: a LLaVA file, JSON or JSONL");
  app.add_option("--images", images, "Folder of the pictures [that of --data]");
  app.add_option("--out", out, "Folder of the run");
  app.add_option("--config", config, "TOML file with any of these options");
  add_adapter_options();
  add_schedule_options();
  add_run_options();
  image.add_to(app);
  model.add_machine_to(app);
}

void TrainOptions::add_adapter_options() {
  const auto positive = CLI::PositiveNumber;
  command->add_option("--lora-r", lora.rank, "Rank of the adapter")->capture_default_str();
  command->add_option("--lora-alpha", lora.alpha, "Scale of the adapter, times its rank")
      ->check(positive)
      ->capture_default_str();
  command->add_option("--lora-dropout", lora.dropout, "Part of the inputs that is dropped")
      ->capture_default_str();
  command->add_option("--lora-targets", targets,
                      "Layers, as in q_proj,v_proj [all linear ones but the head]");
  command->add_flag("--rslora", lora.rank_stabilized, "Divide alpha by the root of the rank");
  command->add_flag("--tune-projector", tune_projector,
                    "Learn the projector too, all of its weights");
  command->add_option("--init-adapter", init_adapter, "Begin with this adapter, in PEFT's files");
}

void TrainOptions::add_schedule_options() {
  const auto positive = CLI::PositiveNumber;
  const auto not_negative = CLI::NonNegativeNumber;
  command->add_option("--learning-rate", trainer.learning_rate, "The highest")
      ->check(positive)
      ->capture_default_str();
  command->add_option("--weight-decay", trainer.weight_decay, "Of AdamW")
      ->check(not_negative)
      ->capture_default_str();
  command->add_option("--warmup-ratio", trainer.warmup_ratio, "Part of the steps before it")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--max-grad-norm", trainer.largest_norm, "Longer gradients are scaled down")
      ->check(positive)
      ->capture_default_str();
  command->add_option("--epochs", trainer.epochs, "Times through the data")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command->add_option("--batch-size", trainer.batch_size, "Samples a batch")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command->add_option("--gradient-accumulation", trainer.accumulation, "Batches a step")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command
      ->add_option("--max-length", max_length,
                   "Positions a sample, the image's too [512; 1024 beyond 64 image tokens]")
      ->check(CLI::Range(1, 1'000'000));
  command->add_flag("--truncate", truncate, "Cut answers that are too long, instead of refusing");
  command->add_option("--seed", trainer.seed, "Of start, order and dropout")
      ->check(is_seed())
      ->capture_default_str();
  command->add_flag("--no-shuffle", no_shuffle, "Take the samples in their order");
}

void TrainOptions::add_run_options() {
  command
      ->add_option("--gradient-checkpointing", trainer.checkpoint_every,
                   "Keep every k-th block's input alone and run blocks again; 0: keep all")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  command->add_option("--precision", precision, "Of products: fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  command->add_option("--eval-data", evaluation_data, "Conversations to look at the loss of");
  command->add_option("--eval-every", evaluate_every, "Steps [after the last one]")
      ->check(CLI::Range(1, 1'000'000'000));
  command->add_option("--save-every", save_every, "Steps from checkpoint to checkpoint")
      ->check(CLI::Range(1, 1'000'000'000))
      ->capture_default_str();
  command->add_option("--image-cache", image_cache,
                      "Folder of encoded pictures, for several runs [in --out]");
  command
      ->add_option("--report-samples", report_samples,
                   "Answers in the report, before and after; from --eval-data if there is one")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  command
      ->add_option("--watts", watts,
                   "What the machine draws, for energy [as the processor measures it]")
      ->check(CLI::PositiveNumber);
  command->add_option("--region", region,
                      "For emissions: a country, as in DEU, or grams of CO2e per kWh");
  command->add_flag("--resume", resume, "Go on from the run's last checkpoint");
  command->add_flag("--no-self-test", no_self_test, "Do not try one sample before training");
  command->add_flag("--json", json, "Print the result as JSON");
}

Status TrainOptions::check_use(int processes) const {
  for (const auto& [name, value] : {std::pair("--data", &data), std::pair("--out", &out)}) {
    if (!value->empty()) continue;
    return error(Code::kUsage, cat(name, " is required"), "see fastvlm train --help");
  }
  for (const auto& [name, value] :
       {std::pair("--learning-rate", trainer.learning_rate),
        std::pair("--weight-decay", trainer.weight_decay),
        std::pair("--warmup-ratio", trainer.warmup_ratio),
        std::pair("--max-grad-norm", trainer.largest_norm), std::pair("--lora-alpha", lora.alpha),
        std::pair("--lora-dropout", lora.dropout), std::pair("--watts", watts)}) {
    if (std::isfinite(value)) continue;
    return error(Code::kUsage, cat(name, ": expected a number, found ", value), "give a number");
  }
  if (!region.empty()) FASTVLM_RETURN_IF_ERROR(find_carbon_intensity(region).status());
  if (const int64_t a_step = trainer.batch_size * trainer.accumulation; processes > a_step) {
    return error(Code::kUsage,
                 cat("--batch-size: expected at least a sample a step for each of ", processes,
                     " processes, found ", a_step),
                 "start fewer processes, or give larger batches or --gradient-accumulation");
  }
  if (init_adapter.empty()) return {};
  for (const char* option : {"--lora-r", "--lora-alpha", "--lora-targets", "--rslora"}) {
    if (command->count(option) == 0) continue;
    return error(Code::kUsage, cat(option, ": --init-adapter brings its own"),
                 "leave one of the two out");
  }
  return {};
}

Status TrainOptions::check_folder() const {
  FASTVLM_RETURN_IF_ERROR(RunFolder::check(out, resume));
  std::error_code ignored;
  if (!std::filesystem::exists(out, ignored)) return {};
  std::vector<std::filesystem::path> inputs = {data, evaluation_data, config};
  if (!init_adapter.empty()) {
    inputs.push_back(std::filesystem::path(init_adapter) / kAdapterConfigFile);
    inputs.push_back(std::filesystem::path(init_adapter) / kAdapterTensorFile);
  }
  std::vector<Output> outputs;
  for (std::filesystem::path& file : RunFolder::files(out)) {
    outputs.push_back({"--out", std::move(file)});
  }
  return check_outputs(outputs, inputs);
}

}  // namespace fastvlm::cli

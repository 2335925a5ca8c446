// SPDX-License-Identifier: Apache-2.0
// fastvlm train: a LoRA adapter from conversations about pictures.
#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/cpu.h"
#include "base/stopwatch.h"
#include "base/strings.h"
#include "caption/caption_json.h"
#include "cli/commands.h"
#include "cli/find_model.h"
#include "cli/progress.h"
#include "cli/run_facts.h"
#include "cli/toml_options.h"
#include "cli/train_options.h"
#include "hub/model_origin.h"
#include "kernels/dot_matrix.h"
#include "kernels/table.h"
#include "language/adapter_file.h"
#include "train/run_record.h"
#include "train/sample_answers.h"
#include "train/training_run.h"

namespace fastvlm::cli {
namespace {

constexpr double kBetweenReports = 10;  // seconds; small models save more often

struct TrainCommand : TrainOptions {
  Exit run();

 private:
  Status prepare();
  Status start();
  Result<std::vector<TrainingSample>> read_data(const std::string& file) const;
  Status encode(const std::vector<TrainingSample>& samples, std::vector<std::string>& names);
  Status open_folder();
  Status open_cache();
  Status load();
  Result<LoraAdapter> start_adapter() const;
  Result<RunSettings> settings() const;
  Status check_alike(const RunSettings& run) const;
  Status train();
  Status restore(Trainer& learner, const RunSettings& run);
  Status run_steps();
  Status finish();

  Status start_meter();
  void record_run(const RunSettings& settings, int64_t steps);
  Result<SampleAnswers> answer_samples();
  // What one alone would say or do: of several processes the first one.
  void say(std::string_view line) const {
    if (team_->leads()) note(line);
  }

  std::unique_ptr<Team> team_;
  std::unique_ptr<ThreadPool> pool_;
  std::shared_ptr<const Engine> engine_;
  std::shared_ptr<const Qwen2> language_;
  std::optional<LoraAdapter> adapter_;
  std::vector<TrainingSample> learnt_, evaluated_;
  std::vector<std::string> learnt_tokens_, evaluated_tokens_;  // names in the cache
  std::optional<RunFolder> folder_;                            // of the process that leads
  std::optional<ImageTokenCache> cache_;
  std::unique_ptr<SampleData> samples_;
  std::unique_ptr<SampleData> evaluation_;
  std::optional<StepReport> last_;
  Stopwatch since_;
  std::filesystem::path model_folder_;
  std::unique_ptr<RunMeter> meter_;
  int64_t steps_done_ = 0;
};

// Tower and language model take turns in memory: pictures first.
Status TrainCommand::prepare() {
  FASTVLM_ASSIGN(pool_, model.prepare());
  FASTVLM_ASSIGN(const FoundModel found, find_model(model.model));
  model_folder_ = found.folder;
  EngineOptions options = image.engine_options(found.folder, model);
  options.vision = Arithmetic::kF32;
  options.language = Arithmetic::kF32;
  options.keep_tower = false;
  FASTVLM_ASSIGN(engine_, Engine::load(options, *pool_));
  for (const std::string& line : engine_->checkpoint().warnings()) {
    if (team_->leads()) warn(line);
  }
  if (max_length == 0) max_length = engine_->image_tokens() <= 64 ? 512 : 1024;
  const ModelConfig& known = engine_->checkpoint().config();
  const int64_t context = std::min(known.language.max_positions, known.max_context);
  if (max_length > context) {
    return error(Code::kUsage,
                 cat("--max-length: expected at most the model's context of ", context, ", found ",
                     max_length),
                 cat("use --max-length ", context));
  }
  trainer.shuffle = !no_shuffle;
  if (precision == "bf16") trainer.arithmetic = Arithmetic::kBf16;
  if (precision == "bf16" && !is_fast(Arithmetic::kBf16)) {
    return error(
        Code::kUnsupported,
        "--precision bf16: this processor or --isa has no bf16 products faster than those of f32",
        "use --precision fp32");
  }
  if (!targets.empty()) lora.targets = split(targets, ',');
  return {};
}

Result<std::vector<TrainingSample>> TrainCommand::read_data(const std::string& file) const {
  SampleOptions options;
  options.images = images;
  if (images.empty()) options.images = std::filesystem::path(file).parent_path();
  options.image_tokens = engine_->image_tokens();
  options.max_length = max_length;
  options.truncate = truncate;
  FASTVLM_ASSIGN(SampleSet set, read_samples(file, engine_->tokenizer(), options));
  if (set.truncated > 0 && team_->leads()) {
    warn(cat(set.truncated, " samples were cut to ", max_length,
             " positions; they do not teach the model to stop"));
  }
  if (set.problems.empty()) return std::move(set.samples);
  for (const std::string& problem : set.problems) say(problem);
  return error(Code::kInvalid,
               cat(file, ": ", set.records - set.samples.size(), " of ", set.records,
                   " samples cannot be used"),
               "mend or remove them; over-long ones need --max-length N or --truncate");
}

// The names of the pictures' tokens in the cache. Each process sees its share of the pictures, and
// finds those of the others where they share a folder.
Status TrainCommand::encode(const std::vector<TrainingSample>& samples,
                            std::vector<std::string>& names) {
  std::map<std::filesystem::path, size_t> pictures;  // and their numbers
  for (const TrainingSample& sample : samples) pictures.emplace(sample.image, pictures.size());
  names.resize(samples.size());
  Progress progress(!team_->leads());
  std::vector<double> failed(static_cast<size_t>(team_->size()));  // of each process
  size_t done = 0;
  for (const bool own : {true, false}) {
    for (size_t i = 0; i < samples.size(); ++i) {
      const size_t owner = pictures[samples[i].image] % static_cast<size_t>(team_->size());
      if ((owner == static_cast<size_t>(team_->rank())) != own) continue;
      bool encoded = false;
      auto name = cache_->keep(samples[i].image, *pool_, encoded);
      if (!name.ok()) {
        progress.clear();
        ++failed[static_cast<size_t>(team_->rank())];
        note(cat(samples[i].origin, ": ", name.status().message));
        continue;
      }
      names[i] = std::move(*name);
      ++done;
      progress.show(
          [&](double) { return cat("pictures encoded: ", done, " of ", samples.size()); });
    }
    team_->gather(failed);
    if (const double all = std::accumulate(failed.begin(), failed.end(), 0.0); all > 0) {
      return error(Code::kInvalid, cat(all, " of ", samples.size(), " pictures cannot be used"),
                   "mend or remove their samples");
    }
  }
  return {};
}

Result<LoraAdapter> TrainCommand::start_adapter() const {
  const Checkpoint& checkpoint = engine_->checkpoint();
  const LanguageConfig& language = checkpoint.config().language;
  std::optional<LoraAdapter> adapter;
  if (init_adapter.empty()) {
    FASTVLM_ASSIGN(adapter, LoraAdapter::create(language, lora));
    adapter->initialize(trainer.seed);
  } else {
    FASTVLM_ASSIGN(adapter, load_adapter(init_adapter, language));
    if (command->count("--lora-dropout") > 0) adapter->set_dropout(lora.dropout);
  }
  if (!tune_projector && !adapter->projector()) return std::move(*adapter);
  FASTVLM_ASSIGN(const ProjectorWeights own, read_projector(checkpoint));
  if (adapter->projector()) {
    FASTVLM_RETURN_IF_ERROR(blend(own, adapter->projector_weights(), 1).status());
  } else {
    adapter->add_projector(own);
  }
  return std::move(*adapter);
}

Result<RunSettings> TrainCommand::settings() const {
  FASTVLM_ASSIGN(const ModelIdentity identity, engine_->identity());
  const LoraSettings& used = adapter_->settings();
  const auto exactly = [](double value) { return nlohmann::json(value).dump(); };
  // What differs is named in the order of names: this comes before the data, which go by it.
  const bool tuned = adapter_->projector().has_value();
  RunSettings result{{"adapter", tuned ? "of LoRA and --tune-projector" : "of LoRA alone"},
                     {"model", identity.sha256},
                     {"data", samples_->digest()},
                     {"lora-r", cat(used.rank)},
                     {"lora-alpha", exactly(used.alpha)},
                     {"lora-dropout", exactly(used.dropout)},
                     {"lora-targets", bracketed(used.targets)},
                     {"rslora", cat(used.rank_stabilized)},
                     {"learning-rate", exactly(trainer.learning_rate)},
                     {"weight-decay", exactly(trainer.weight_decay)},
                     {"warmup-ratio", exactly(trainer.warmup_ratio)},
                     {"max-grad-norm", exactly(trainer.largest_norm)},
                     {"epochs", cat(trainer.epochs)},
                     {"batch-size", cat(trainer.batch_size)},
                     {"gradient-accumulation", cat(trainer.accumulation)},
                     {"seed", cat(trainer.seed)},
                     {"shuffle", cat(trainer.shuffle)},
                     {"precision", precision}};
  return result;
}

// Everything that can be refused before anything is written.
Status TrainCommand::start() {
  if (!config.empty()) FASTVLM_RETURN_IF_ERROR(apply_toml(config, *command));
  FASTVLM_RETURN_IF_ERROR(check_use(team_->size()));
  if (team_->leads()) FASTVLM_RETURN_IF_ERROR(check_folder());
  FASTVLM_RETURN_IF_ERROR(prepare());
  FASTVLM_ASSIGN(adapter_, start_adapter());
  FASTVLM_ASSIGN(learnt_, read_data(data));
  if (evaluation_data.empty()) return {};
  FASTVLM_ASSIGN(evaluated_, read_data(evaluation_data));
  return {};
}

Status TrainCommand::open_folder() {
  if (!team_->leads()) return {};
  FASTVLM_ASSIGN(folder_, RunFolder::open(out, resume));
  return start_meter();
}

Status TrainCommand::open_cache() {
  std::filesystem::path kept = image_cache;
  if (kept.empty()) kept = std::filesystem::path(out) / "image_tokens";
  FASTVLM_ASSIGN(cache_, ImageTokenCache::open(
                             engine_, kept, image.decode_options(),
                             adapter_->projector() ? TokenStage::kTower : TokenStage::kProjected));
  return {};
}

// The tower was needed once; now it leaves memory to the language model.
Status TrainCommand::load() {
  FASTVLM_ASSIGN(language_, engine_->language(*pool_));
  samples_ = std::make_unique<SampleData>(std::move(learnt_), std::move(learnt_tokens_), *cache_,
                                          *language_);
  if (evaluated_.empty()) return {};
  evaluation_ = std::make_unique<SampleData>(std::move(evaluated_), std::move(evaluated_tokens_),
                                             *cache_, *language_);
  return {};
}

// Between the parts that each process does for itself, all of them hear of the first error.
Status TrainCommand::train() {
  FASTVLM_RETURN_IF_ERROR(team_->agree(start()));
  FASTVLM_RETURN_IF_ERROR(team_->agree(open_folder()));
  FASTVLM_RETURN_IF_ERROR(team_->agree(open_cache()));
  FASTVLM_RETURN_IF_ERROR(encode(learnt_, learnt_tokens_));
  FASTVLM_RETURN_IF_ERROR(encode(evaluated_, evaluated_tokens_));
  FASTVLM_RETURN_IF_ERROR(team_->agree(load()));
  FASTVLM_RETURN_IF_ERROR(run_steps());
  return team_->agree(finish());
}

Status TrainCommand::start_meter() {
  RunPart part;
  part.processor = cpu_model_name();
  part.threads = pool_->size();
  if (watts > 0) part.watts = watts;
  FASTVLM_ASSIGN(meter_, RunMeter::start(out, part, since_));
  if (region.empty()) return {};
  FASTVLM_ASSIGN(const CarbonIntensity intensity, find_carbon_intensity(region));
  meter_->change([&](RunRecord& record) {
    record.region = intensity.name;
    record.grams_per_kwh = intensity.grams;
  });
  return {};
}

// What report and model card say about the run.
void TrainCommand::record_run(const RunSettings& settings, int64_t steps) {
  const ModelOrigin origin = model_origin(model_folder_);
  const auto identity = engine_->identity();
  meter_->change([&](RunRecord& record) {
    record.program = cat("fastvlm ", program_version());
    if (identity.ok()) {
      record.model = identity->name;
      record.sha256 = identity->sha256;
      record.weights = identity->weights;
    }
    record.model_bytes = bytes_of_files(model_folder_);
    record.source = origin.source;
    record.license = origin.license;
    record.data = describe_data(data, *samples_);
    record.evaluation.reset();
    if (evaluation_) record.evaluation = describe_data(evaluation_data, *evaluation_);
    record.data_made = how_data_was_made(data);
    record.settings.assign(settings.begin(), settings.end());
    std::erase_if(record.settings, [](const auto& setting) {
      return setting.first == "model" || setting.first == "data";
    });
    record.settings.emplace_back("max-length", cat(max_length));
    record.settings.emplace_back("image tokens", cat(engine_->image_tokens()));
    record.steps = steps;
    record.trained_parameters = static_cast<int64_t>(adapter_->parameters().size());
  });
}

// The base answers first; with the adapter it is read once more, when the trainer has left memory.
Result<SampleAnswers> TrainCommand::answer_samples() {
  SampleAnswers result;
  result.learnt = evaluation_ == nullptr;
  const SampleData& data_shown = result.learnt ? *samples_ : *evaluation_;
  const std::vector<size_t> chosen = chosen_samples(data_shown.size(), report_samples);
  if (chosen.empty() || stop_asked()) return result;
  Answering how{engine_->tokenizer(), engine_->stop_ids()};
  if (adapter_->projector()) {
    FASTVLM_ASSIGN(const ProjectorWeights base, read_projector(engine_->checkpoint()));
    how.projector = Projector::pack(base, *pool_);
  }
  FASTVLM_ASSIGN(const auto before, answers(*language_, data_shown, chosen, how, *pool_));
  if (adapter_->projector()) {
    how.projector = Projector::pack(adapter_->projector_weights(), *pool_);
  }
  FASTVLM_ASSIGN(Qwen2 learnt, Qwen2::load(engine_->checkpoint(), *pool_));
  FASTVLM_RETURN_IF_ERROR(learnt.attach(*adapter_, 1, *pool_));
  FASTVLM_ASSIGN(const auto after, answers(learnt, data_shown, chosen, how, *pool_));
  for (size_t i = 0; i < chosen.size(); ++i) {
    result.answers.push_back({data_shown.sample(chosen[i]).image,
                              expected_answer(data_shown, chosen[i], engine_->tokenizer()),
                              before[i], after[i]});
  }
  return result;
}

// Processes that differ would train apart without a word.
Status TrainCommand::check_alike(const RunSettings& run) const {
  FASTVLM_RETURN_IF_ERROR(check_same(*team_, "instruction set", current_isa()));
  for (const auto& [name, value] : run) {
    FASTVLM_RETURN_IF_ERROR(check_same(*team_, name, value));
  }
  const auto evaluated = evaluation_ ? evaluation_->digest() : std::string("none");
  FASTVLM_RETURN_IF_ERROR(check_same(*team_, "evaluation data", evaluated));
  return check_same(*team_, "--eval-every and --save-every", cat(evaluate_every, " ", save_every));
}

// From the checkpoint, where there is one, to all processes; what the first one knows, they get.
Status TrainCommand::restore(Trainer& learner, const RunSettings& run) {
  Status status;
  const bool resumed = team_->any(folder_ && folder_->has_checkpoint());
  if (folder_ && resumed) {
    status = folder_->restore(learner, run);
  } else if (folder_ && !no_self_test) {
    status = learner.self_test();
  }
  if (folder_ && status.ok()) status = folder_->rewind_metrics(learner.steps_done());
  FASTVLM_RETURN_IF_ERROR(team_->agree(status));
  learner.spread();
  if (resumed)
    say(cat("going on after step ", learner.steps_done(), " of ", learner.total_steps()));
  return {};
}

Status TrainCommand::run_steps() {
  const auto run_settings = settings();
  FASTVLM_RETURN_IF_ERROR(team_->agree(run_settings.status()));
  FASTVLM_RETURN_IF_ERROR(check_alike(*run_settings));
  Trainer learner(*pool_, *language_, *adapter_, *samples_, trainer, *team_);
  FASTVLM_RETURN_IF_ERROR(restore(learner, *run_settings));
  if (meter_) record_run(*run_settings, learner.total_steps());
  Progress progress(!team_->leads());
  const int64_t first = learner.steps_done();
  int64_t positions = 0;
  RunOptions options;
  options.settings = *run_settings;
  options.save_every = save_every;
  options.evaluate_every = evaluate_every == 0 ? learner.total_steps() : evaluate_every;
  options.evaluation = evaluation_.get();
  options.stop = stop_asked;
  options.on_step = [&](const StepReport& report, std::optional<double> evaluation) {
    last_ = report;
    positions += report.positions;
    if (evaluation) {
      progress.clear();
      say(cat("step ", report.step, ": evaluation loss ", fixed(*evaluation, 4)));
    }
    progress.show([&](double seconds) {
      const auto done = static_cast<double>(report.step - first);
      const auto left = static_cast<double>(learner.total_steps() - report.step);
      return cat("step ", report.step, " of ", learner.total_steps(), ", loss ",
                 fixed(report.loss, 4), ", ", fixed(static_cast<double>(positions) / seconds, 0),
                 " tokens/s, ", duration(left * seconds / done), " left, ",
                 megabytes(static_cast<double>(resident_bytes())));
    });
  };
  Stopwatch reported;
  options.on_save = [&]() -> Status {
    if (!team_->leads()) return {};
    if (!stop_asked() && reported.seconds() < kBetweenReports) return {};
    reported.lap();
    FASTVLM_RETURN_IF_ERROR(meter_->save());
    return folder_->report(meter_->record());
  };
  stop_politely();
  Status done = run_training(learner, folder_ ? &*folder_ : nullptr, options);
  progress.clear();
  steps_done_ = learner.steps_done();
  return done;
}

// By the first process alone, when the trainer has left memory.
Status TrainCommand::finish() {
  if (!team_->leads()) return {};
  FASTVLM_ASSIGN(const ModelIdentity identity, engine_->identity());
  FASTVLM_RETURN_IF_ERROR(save_adapter(out, *adapter_, identity.name));
  FASTVLM_ASSIGN(const SampleAnswers samples, answer_samples());
  FASTVLM_RETURN_IF_ERROR(meter_->save());
  FASTVLM_RETURN_IF_ERROR(folder_->report(meter_->record(), samples));
  if (json) {
    nlohmann::ordered_json result{{"adapter", out}, {"steps", steps_done_}};
    if (last_) result["loss"] = last_->loss;
    return print(result.dump() + "\n");
  }
  return print(cat("adapter after ", steps_done_, " steps",
                   last_ ? cat(", loss ", fixed(last_->loss, 4)) : std::string(), ": ", out, "\n"));
}

Exit TrainCommand::run() {
  auto joined = join_team();
  if (!joined.ok()) return report(joined.status());
  team_ = std::move(*joined);
  const Status status = train();
  const Exit exit = team_->leads() && !status.ok() ? report(status) : exit_code(status);
  team_.reset();  // the first process that ends badly takes the others with it: all have spoken
  return exit;
}

}  // namespace

void add_train(CLI::App& program, Command& chosen) {
  CLI::App* command = program.add_subcommand("train", "Fine-tune a model: learn a LoRA adapter");
  const auto state = std::make_shared<TrainCommand>();
  state->add_to(*command);
  command->callback([&chosen, state] { chosen = [state] { return state->run(); }; });
}

}  // namespace fastvlm::cli

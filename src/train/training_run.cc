// SPDX-License-Identifier: Apache-2.0
#include "train/training_run.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "base/cpu.h"
#include "base/sha256.h"
#include "base/stopwatch.h"
#include "base/strings.h"
#include "train/metrics.h"

namespace fastvlm {
namespace {

StepMetrics metrics_of(const StepReport& report, std::optional<double> evaluation, double seconds) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return {.step = report.step,
          .loss = report.loss,
          .rate = report.rate,
          .norm = report.norm,
          .tokens = report.tokens,
          .positions = report.positions,
          .seconds = seconds,
          .time = now.count(),
          .rss = resident_bytes(),
          .evaluation = evaluation};
}

// One step and its line.
Status do_step(Trainer& trainer, RunFolder* folder, const RunOptions& options) {
  const Stopwatch watch;
  FASTVLM_ASSIGN(const StepReport report, trainer.step());
  const double seconds = watch.seconds();
  const bool last = report.step == trainer.total_steps();
  std::optional<double> evaluation;
  if (options.evaluation != nullptr && options.evaluate_every > 0 &&
      (last || report.step % options.evaluate_every == 0)) {
    FASTVLM_ASSIGN(evaluation, trainer.evaluate(*options.evaluation));
  }
  Status written;
  if (folder != nullptr) {
    written = folder->append_metrics(metrics_line(metrics_of(report, evaluation, seconds)));
  }
  FASTVLM_RETURN_IF_ERROR(trainer.team().agree(written));
  if (options.on_step) options.on_step(report, evaluation);
  return {};
}

}  // namespace

SampleData::SampleData(std::vector<TrainingSample> samples, std::vector<std::string> tokens,
                       const ImageTokenCache& cache, const Qwen2& model)
    : samples_(std::move(samples)), tokens_(std::move(tokens)), cache_(cache), model_(model) {}

Result<SampleRows> SampleData::rows(size_t sample) const {
  FASTVLM_ASSIGN(Tokens tokens, cache_.read(tokens_[sample]));
  const std::vector<TokenId>& ids = samples_[sample].ids;
  SampleRows result;
  if (cache_.stage() == TokenStage::kTower) {
    result.image = std::move(tokens.values);
    result.image_row = std::find(ids.begin(), ids.end(), kImageToken) - ids.begin();
    tokens.width = model_.config().hidden_size;
    tokens.values.assign(static_cast<size_t>(tokens.count * tokens.width), 0.0F);
  }
  FASTVLM_ASSIGN(result.rows, splice(model_, ids, tokens));
  return result;
}

int64_t SampleData::pictures() const {
  return static_cast<int64_t>(std::set<std::string>(tokens_.begin(), tokens_.end()).size());
}

std::string SampleData::digest() const {
  Sha256 digest;
  const auto add = [&](const auto& values) { digest.update(std::as_bytes(std::span(values))); };
  for (size_t i = 0; i < samples_.size(); ++i) {
    digest.update(cat(samples_[i].ids.size(), " ", samples_[i].targets.size(), " ", tokens_[i]));
    add(samples_[i].ids);
    add(samples_[i].targets);
  }
  return digest.finish();
}

Status run_training(Trainer& trainer, RunFolder* folder, const RunOptions& options) {
  Team& team = trainer.team();
  while (trainer.steps_done() < trainer.total_steps()) {
    FASTVLM_RETURN_IF_ERROR(do_step(trainer, folder, options));
    const int64_t done = trainer.steps_done();
    const bool asked = team.any(options.stop && options.stop());
    const bool stop = asked && done < trainer.total_steps();
    if (stop || done == trainer.total_steps() || done % options.save_every == 0) {
      Status saved;
      if (folder != nullptr) saved = folder->save(trainer, options.settings);
      if (saved.ok() && options.on_save) saved = options.on_save();
      FASTVLM_RETURN_IF_ERROR(team.agree(saved));
    }
    if (stop) {
      return error(Code::kInterrupted,
                   cat("stopped after step ", done, " of ", trainer.total_steps()),
                   "go on with --resume");
    }
  }
  return {};
}

}  // namespace fastvlm

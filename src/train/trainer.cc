// SPDX-License-Identifier: Apache-2.0
#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "base/strings.h"

namespace fastvlm {
namespace {

// The streams of random numbers that a seed stands for.
enum Stream : uint64_t { kOrder = 1, kDropout = 2 };

int64_t steps_an_epoch(const TrainingData& data, const TrainerSettings& settings) {
  const int64_t a_step = settings.batch_size * settings.accumulation;
  return (static_cast<int64_t>(data.size()) + a_step - 1) / a_step;
}

std::vector<size_t> order_of_epoch(size_t count, uint64_t seed, int64_t epoch, bool shuffle) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  if (!shuffle) return order;
  const RandomStream random = RandomStream(seed).part(kOrder).part(static_cast<uint64_t>(epoch));
  for (size_t i = count - 1; i > 0; --i) {
    std::swap(order[i], order[random.at(i) % (i + 1)]);
  }
  return order;
}

// Biases, which the projector alone has, keep out of weight decay, as in Hugging Face's Trainer.
size_t decayed(const LoraAdapter& adapter) {
  const int64_t biases = adapter.projector() ? 2 * adapter.projector()->hidden : 0;
  return adapter.parameters().size() - static_cast<size_t>(biases);
}

// `rows` are the sample's, and must outlive what is returned.
TrainingSequence sequence_of(const TrainingData& data, size_t sample, const SampleRows& rows) {
  return {rows.rows, data.length(sample), data.targets(sample), rows.image, rows.image_row};
}

}  // namespace

Trainer::Trainer(ThreadPool& pool, const Qwen2& model, LoraAdapter& adapter,
                 const TrainingData& data, const TrainerSettings& settings, Team& team)
    : pool_(pool),
      adapter_(adapter),
      data_(data),
      settings_(settings),
      schedule_(CosineSchedule::with_ratio(settings.learning_rate, settings.warmup_ratio,
                                           settings.epochs * steps_an_epoch(data, settings))),
      model_(model, adapter, settings.checkpoint_every, settings.arithmetic),
      optimizer_(adapter.parameters().size(), settings.weight_decay, decayed(adapter)),
      team_(team) {
  gradients_.emplace_back(adapter.parameters().size());
}

std::vector<size_t> Trainer::samples_of_step(int64_t step) const {
  const int64_t an_epoch = steps_an_epoch(data_, settings_);
  const std::vector<size_t> order =
      order_of_epoch(data_.size(), settings_.seed, step / an_epoch, settings_.shuffle);
  const auto a_step = static_cast<size_t>(settings_.batch_size * settings_.accumulation);
  const size_t begin = static_cast<size_t>(step % an_epoch) * a_step;
  const size_t end = std::min(begin + a_step, order.size());
  return {order.begin() + static_cast<std::ptrdiff_t>(begin),
          order.begin() + static_cast<std::ptrdiff_t>(end)};
}

// `place` is the sample's place in the step.
Result<double> Trainer::add_sample(int64_t step, size_t sample, uint64_t place, float weight,
                                   std::span<float> gradient) {
  FASTVLM_ASSIGN(const SampleRows rows, data_.rows(sample));
  const RandomStream dropout =
      RandomStream(settings_.seed).part(kDropout).part(static_cast<uint64_t>(step)).part(place);
  return model_.add_gradient(pool_, sequence_of(data_, sample, rows), weight, dropout, gradient);
}

// gradients_[depth] becomes the sum over the places [begin, begin + count).
Status Trainer::add_subtree(const StepWork& work, int64_t begin, int64_t count, size_t depth) {
  if (gradients_.size() <= depth) gradients_.emplace_back(parameters().size());
  if (count == 1) {
    const auto place = static_cast<size_t>(begin);
    std::fill(gradients_[depth].begin(), gradients_[depth].end(), 0.0F);
    FASTVLM_ASSIGN(work.losses[place], add_sample(work.step, work.samples[place], place,
                                                  work.weight, gradients_[depth]));
    return {};
  }
  const int64_t left = left_half(count);
  FASTVLM_RETURN_IF_ERROR(add_subtree(work, begin, left, depth));
  FASTVLM_RETURN_IF_ERROR(add_subtree(work, begin + left, count - left, depth + 1));
  add(pool_, gradients_[depth + 1], gradients_[depth]);
  return {};
}

// From the shares of all members to the whole gradient in all of them.
void Trainer::combine(const TreeShare& share) {
  for (const TreeShare::Exchange& exchange : share.exchanges) {
    if (exchange.receives) {
      team_.add_received(exchange.peer, gradients_.front());
    } else {
      team_.send(exchange.peer, gradients_.front());
    }
  }
  team_.spread(gradients_.front());
}

void Trainer::spread() {
  team_.spread(parameters());
  team_.spread(optimizer_.first_moments());
  team_.spread(optimizer_.second_moments());
  optimizer_.set_steps(std::stoll(team_.spread(cat(optimizer_.steps()))));
}

Result<StepReport> Trainer::step() {
  const int64_t step = steps_done();
  const std::vector<size_t> samples = samples_of_step(step);
  StepReport report;
  report.step = step + 1;
  report.rate = schedule_.rate(step);
  for (const size_t sample : samples) {
    report.tokens += static_cast<int64_t>(data_.targets(sample).size());
    report.positions += data_.length(sample);
  }
  const auto tokens = static_cast<double>(report.tokens);
  std::vector<double> losses(samples.size());
  const StepWork work{step, samples, static_cast<float>(1 / tokens), losses};
  const TreeShare share =
      share_of(static_cast<int64_t>(samples.size()), team_.size(), team_.rank());
  Status status;
  if (share.count > 0) status = add_subtree(work, share.begin, share.count, 0);
  FASTVLM_RETURN_IF_ERROR(team_.agree(status));
  team_.gather(losses);
  for (size_t i = 0; i < samples.size(); ++i) {
    if (!std::isfinite(losses[i])) return not_finite(step, {&samples[i], 1});
  }
  report.loss = tree_sum(losses) / tokens;
  combine(share);
  const std::span<const float> gradient = gradients_.front();
  report.norm = norm(pool_, gradient);
  if (!std::isfinite(report.norm)) return not_finite(step, samples);
  optimizer_.step(pool_, gradient, clip_factor(report.norm, settings_.largest_norm), report.rate,
                  adapter_.parameters());
  return report;
}

// Names the first of the samples whose gradient is not finite.
Status Trainer::not_finite(int64_t step, std::span<const size_t> samples) {
  std::string name = data_.name(samples.front());
  std::vector<float>& gradient = gradients_.front();
  for (size_t i = 0; samples.size() > 1 && i < samples.size(); ++i) {
    std::fill(gradient.begin(), gradient.end(), 0.0F);
    FASTVLM_RETURN_IF_ERROR(add_sample(step, samples[i], i, 1.0F, gradient).status());
    if (std::isfinite(norm(pool_, gradient))) continue;
    name = data_.name(samples[i]);
    break;
  }
  return error(Code::kInvalid,
               cat("step ", step + 1, ", sample ", name, ": loss or gradient are not finite"),
               "lower the learning rate and begin again from the last checkpoint; if it is the "
               "first step, look the model over with `fastvlm doctor`");
}

Status Trainer::self_test() {
  const size_t sample = samples_of_step(steps_done()).front();
  FASTVLM_ASSIGN(const SampleRows rows, data_.rows(sample));
  const TrainingSequence sequence = sequence_of(data_, sample, rows);
  std::vector<float>& gradient = gradients_.front();
  std::fill(gradient.begin(), gradient.end(), 0.0F);
  const auto weight = static_cast<float>(1 / static_cast<double>(sequence.targets.size()));
  const double before = model_.add_gradient(pool_, sequence, weight, std::nullopt, gradient);
  const bool learns = std::any_of(
      adapter_.modules().begin(), adapter_.modules().end(), [&](const LoraModule& module) {
        const auto b = std::span(gradient).subspan(static_cast<size_t>(module.b),
                                                   static_cast<size_t>(module.b_size()));
        return std::any_of(b.begin(), b.end(), [](float g) { return g != 0; });
      });
  const std::string about = cat("self-test on sample ", data_.name(sample), ": ");
  if (!learns) {
    return error(Code::kInvalid,
                 cat(about, "the gradient of every lora_B is zero, nothing would be learnt"),
                 "lora_A is all zero, or the sample supervises nothing: check --init-adapter");
  }
  const double size = norm(pool_, gradient);
  if (!std::isfinite(before) || !std::isfinite(size)) {
    const size_t first[] = {sample};
    return not_finite(steps_done(), first);
  }
  // The moments, still zero, lend their memory.
  const std::span<float> start = optimizer_.first_moments();
  std::copy(parameters().begin(), parameters().end(), start.begin());
  double after = before;
  for (double way = 1e-2; after >= before && way > 1e-6; way /= 10) {
    const auto factor = static_cast<float>(way * norm(pool_, start) / size);
    for (size_t i = 0; i < start.size(); ++i) parameters()[i] = start[i] - factor * gradient[i];
    after = model_.loss(pool_, sequence);
  }
  std::copy(start.begin(), start.end(), parameters().begin());
  std::fill(start.begin(), start.end(), 0.0F);
  if (after < before) return {};
  return error(Code::kInvalid,
               cat(about, "expected the loss to fall down its gradient, found ", fixed(before, 6),
                   " before and ", fixed(after, 6), " after"),
               "this is a defect: please report it with model and sample");
}

Result<double> Trainer::evaluate(const TrainingData& data) {
  std::vector<double> losses(data.size());
  const auto lose = [&](size_t sample) -> Status {
    FASTVLM_ASSIGN(const SampleRows rows, data.rows(sample));
    losses[sample] = model_.loss(pool_, sequence_of(data, sample, rows));
    return {};
  };
  Status status;
  const auto members = static_cast<size_t>(team_.size());
  for (auto i = static_cast<size_t>(team_.rank()); status.ok() && i < losses.size(); i += members) {
    status = lose(i);
  }
  FASTVLM_RETURN_IF_ERROR(team_.agree(status));
  team_.gather(losses);
  double tokens = 0;
  for (size_t i = 0; i < data.size(); ++i) tokens += static_cast<double>(data.targets(i).size());
  return tree_sum(losses) / tokens;
}

}  // namespace fastvlm

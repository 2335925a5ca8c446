// SPDX-License-Identifier: Apache-2.0
#include "language/drafter.h"

#include <algorithm>
#include <utility>

namespace fastvlm {
namespace {

// Before anything is measured, and what a cost that was measured too high drifts back to.
constexpr double kUsualCost = 0.1;
constexpr double kCostWeight = 0.05, kSingleWeight = 0.1, kCostDrift = 0.01;

// What is assumed of a kind of guess weighs as much as this many that were seen; what was seen
// fades, so that a kind that was often wrong is tried again now and then.
constexpr double kPriorWeight = 2.0, kFading = 0.998;

constexpr size_t kShortestMatch = 2;  // of a look-up
// Of a look-up, by the ids that match, from kShortestMatch on.
constexpr double kMatchChances[] = {0.3, 0.5, 0.6, 0.7, 0.8};

}  // namespace

Drafter::Drafter(std::shared_ptr<const DraftTable> table, std::optional<double> row_cost)
    : table_(std::move(table)),
      fixed_cost_(row_cost),
      measured_cost_(kUsualCost),
      records_(kLevels + kLongestMatch + 1) {}

void Drafter::begin(std::span<const int32_t> prompt) {
  history_.assign(prompt.begin(), prompt.end());
  prompt_size_ = history_.size();
  drafted_.clear();
  verified_ = 0;
}

Drafter::Guess Drafter::judged(int32_t id, double chance, size_t kind) {
  Record& record = records_[kind];
  return {id, (record.right + kPriorWeight * chance) / (record.seen + kPriorWeight), &record};
}

// What followed the longest piece of the history that its end repeats, the latest of such.
std::optional<Drafter::Guess> Drafter::looked_up() {
  const size_t size = history_.size();
  size_t longest = kShortestMatch - 1, found = 0;
  for (size_t end = size - std::min<size_t>(size, 1); end > longest; --end) {
    size_t length = 0;
    while (length < std::min(end, kLongestMatch) &&
           history_[end - 1 - length] == history_[size - 1 - length]) {
      ++length;
    }
    if (length <= longest || history_[end] < 0) continue;
    longest = length;
    found = end;
    if (length == kLongestMatch) break;
  }
  if (found == 0) return std::nullopt;
  return judged(history_[found], kMatchChances[longest - kShortestMatch], kLevels + longest);
}

std::optional<Drafter::Guess> Drafter::best_guess() {
  std::optional<Guess> best = looked_up();
  if (!table_) return best;
  const auto next = table_->next(history_);
  if (!next) return best;
  const auto level = static_cast<size_t>(next->chance * (static_cast<float>(kLevels) - 0.5F));
  const Guess learnt = judged(next->id, static_cast<double>(next->chance), level);
  return best && best->chance >= learnt.chance ? best : learnt;
}

// A pass costs 1 + row_cost() for each row beyond the first, and gives one id and those that were
// guessed in a row. Another guess pays while it adds more ids for its cost than the pass has so
// far.
std::vector<int32_t> Drafter::draft(std::span<const int32_t> answer, size_t room, size_t rows) {
  for (Record& record : records_) {
    record.right *= kFading;
    record.seen *= kFading;
  }
  std::vector<int32_t> ids;
  drafted_.clear();
  verified_ = 0;
  if (!fixed_cost_ && single_seconds_ == 0) return ids;  // first see what a pass costs
  history_.resize(prompt_size_);
  history_.insert(history_.end(), answer.begin(), answer.end());
  const double row = row_cost();
  double cost = 1 + row * static_cast<double>(rows - 1);
  double expected = 1, chance = 1;
  while (ids.size() < std::min(room, kMostDrafted)) {
    const auto guess = best_guess();
    if (!guess) break;
    chance *= guess->chance;
    if (chance * cost <= expected * row) break;
    expected += chance;
    cost += row;
    ids.push_back(guess->id);
    drafted_.push_back(guess->record);
    history_.push_back(guess->id);
  }
  return ids;
}

void Drafter::verified(bool right) {
  if (verified_ == drafted_.size()) return;
  Record& record = *drafted_[verified_];
  record.seen += 1;
  record.right += right ? 1 : 0;
  verified_ = right ? verified_ + 1 : drafted_.size();
}

// Other programs may hold a pass up for a while: no single one changes much.
void Drafter::passed(size_t rows, double seconds) {
  if (rows == 1) {
    const double known = single_seconds_ == 0 ? seconds : single_seconds_;
    single_seconds_ = known + kSingleWeight * (std::min(seconds, 2 * known) - known);
    if (measured_cost_ > kUsualCost) measured_cost_ += kCostDrift * (kUsualCost - measured_cost_);
  } else if (single_seconds_ > 0) {
    const double cost = (seconds / single_seconds_ - 1) / static_cast<double>(rows - 1);
    measured_cost_ += kCostWeight * (std::clamp(cost, 0.0, 1.0) - measured_cost_);
  }
}

}  // namespace fastvlm

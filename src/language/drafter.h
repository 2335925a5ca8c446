// SPDX-License-Identifier: Apache-2.0
// Guesses how an answer goes on, so that several ids can be run through the model in one pass and
// the model's own choices checked against them (answer_logits.h). Goals: no answer ever depends on
// a guess; only guesses that pay, by what passes were seen to cost and how often such guesses were
// right; a model that nobody can guess loses nothing to speak of. Non-goal: a second model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "language/draft_table.h"

namespace fastvlm {

// Passes through the model for one answer, the prompt's not counted, and the ids that were guessed.
struct DraftCounts {
  int64_t passes = 0;
  int64_t drafted = 0;
  int64_t accepted = 0;  // those that the answer then had at their place
};

class Drafter {
 public:
  static constexpr size_t kMostDrafted = 11;  // with the row before them, a tile of twelve rows

  // Guesses from the prompt and the answer so far, and from `table` where there is one. `row_cost`:
  // what a further row of a pass costs as a share of a pass of one row; none: it is measured.
  explicit Drafter(std::shared_ptr<const DraftTable> table = {},
                   std::optional<double> row_cost = {});

  // A new answer, to a prompt with these ids; negative ones stand for what is no text. What was
  // learnt of costs and of good guesses stays.
  void begin(std::span<const int32_t> prompt);

  // Guesses at what follows `answer`, at most `room` ids, for a pass that runs `rows` rows anyway.
  std::vector<int32_t> draft(std::span<const int32_t> answer, size_t room, size_t rows);
  // The next id of the last draft, in its order, was right; or it was wrong, and with it the rest.
  void verified(bool right);
  // A pass with so many rows took so long.
  void passed(size_t rows, double seconds);

  double row_cost() const { return fixed_cost_.value_or(measured_cost_); }

 private:
  // How often guesses of one kind were right.
  struct Record {
    double right = 0, seen = 0;
  };
  struct Guess {
    int32_t id = 0;
    double chance = 0;
    Record* record = nullptr;
  };

  Guess judged(int32_t id, double chance, size_t kind);
  std::optional<Guess> best_guess();
  std::optional<Guess> looked_up();

  static constexpr size_t kLevels = 8;        // of the table's chances
  static constexpr size_t kLongestMatch = 6;  // ids, of a look-up

  std::shared_ptr<const DraftTable> table_;
  std::optional<double> fixed_cost_;
  double measured_cost_;
  double single_seconds_ = 0;     // of a pass with one row; 0: not known yet
  std::vector<int32_t> history_;  // the prompt, then what is looked at of the answer and its draft
  size_t prompt_size_ = 0;
  std::vector<Record> records_;
  std::vector<Record*> drafted_;  // kinds of the last draft's guesses
  size_t verified_ = 0;
};

}  // namespace fastvlm

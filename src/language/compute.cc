// SPDX-License-Identifier: Apache-2.0
#include "language/compute.h"

#include <algorithm>
#include <chrono>

namespace fastvlm {
namespace {

// More rows than an answer's next id and a long draft are a prompt.
constexpr int64_t kMostAnswerRows = 32;
// How long rows wait for those of others: longer than it takes to choose an id where there are more
// sessions than cores, shorter than a pass over a model of 0.5B.
constexpr std::chrono::milliseconds kPatience{3};

}  // namespace

// Rows of one session, on their way through a pass.
struct SharedPool::Waiting {
  const Qwen2& model;
  Qwen2::Turn turn;
  int64_t wanted;  // logits, of the last rows
  float* logits;
  bool taken = false;
  bool done = false;
  Status status = {};
};

void SharedPool::take_turn() {
  std::unique_lock lock(mutex_);
  ++others_;
  // After one of these a pass for the answers that wait comes first, and the other way round.
  changed_.wait(lock, [&] { return !busy_ && (answers_.empty() || others_turn_); });
  --others_;
  others_turn_ = false;
  busy_ = true;
}

void SharedPool::end_turn() {
  {
    const std::lock_guard lock(mutex_);
    busy_ = false;
  }
  changed_.notify_all();
}

Status SharedPool::forward(const Qwen2& model, KvCache& cache, const float* rows, int64_t n,
                           int64_t wanted, float* logits) {
  // Rows without room get their error by themselves.
  const bool has_room = n >= 1 && n <= cache.capacity() - cache.length();
  if (n <= kMostAnswerRows && has_room) {
    Waiting own{model, {&cache, rows, n}, wanted, logits};
    return share_pass(own);
  }
  for (const Qwen2::Chunk& chunk : Qwen2::chunks(n, wanted)) {
    FASTVLM_RETURN_IF_ERROR(alone([&](ThreadPool& pool) {
      return model.forward(cache, rows + chunk.begin * model.config().hidden_size, chunk.count,
                           chunk.wanted, logits + chunk.logits_row * model.config().vocab_size,
                           pool);
    }));
  }
  return {};
}

Status SharedPool::share_pass(Waiting& own) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  std::unique_lock lock(mutex_);
  answers_.push_back(&own);
  changed_.notify_all();  // this may have been the last one that others wait for
  while (!own.done) {
    const bool all_here =
        answers_.size() >= expected_ || std::chrono::steady_clock::now() >= deadline;
    const bool others_first = others_ > 0 && others_turn_;
    if (busy_ || own.taken || others_first) {
      changed_.wait(lock);
    } else if (all_here) {
      run_pass(lock, own.model);
    } else {
      changed_.wait_until(lock, deadline);
    }
  }
  return std::move(own.status);
}

// Takes what waits, as far as it fits into a pass, and runs it without the lock.
void SharedPool::run_pass(std::unique_lock<std::mutex>& lock, const Qwen2& model) {
  std::vector<Waiting*> taken;
  std::vector<Qwen2::Turn> turns;
  int64_t rows = 0;
  std::erase_if(answers_, [&](Waiting* waiting) {
    if (&waiting->model != &model || rows + waiting->turn.n > Qwen2::kChunkRows) return false;
    rows += waiting->turn.n;
    waiting->taken = true;
    taken.push_back(waiting);
    turns.push_back(waiting->turn);
    return true;
  });
  busy_ = true;
  lock.unlock();
  const Status status = model.forward_together(turns, logits_, pool_);
  const float* end = logits_.data();
  for (const Waiting* waiting : taken) {
    if (!status.ok()) break;
    end += waiting->turn.n * model.config().vocab_size;
    const int64_t count = waiting->wanted * model.config().vocab_size;
    std::copy_n(end - count, count, waiting->logits);
  }
  lock.lock();
  for (Waiting* waiting : taken) {
    waiting->status = status;
    waiting->done = true;
  }
  busy_ = false;
  others_turn_ = others_ > 0;
  expected_ = taken.size() + answers_.size();  // or else two halves might take turns for ever
  ++counts_.passes;
  counts_.rows += rows;
  changed_.notify_all();
}

SharedPool::Counts SharedPool::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Who does a session's work: a thread pool of its own, or one that several sessions share. Goals:
// what a session does looks the same either way; sessions that share read the weights once for all
// of their answers (continuous batching), and a long prompt of one does not stop the others for
// longer than a chunk of it takes. Non-goals: queues of requests, priorities.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "language/qwen2.h"

namespace fastvlm {

// A pool for sessions on several threads, which take turns at it. The pool must outlive this and be
// used by nobody else.
class SharedPool {
 public:
  explicit SharedPool(ThreadPool& pool) : pool_(pool) {}
  SharedPool(const SharedPool&) = delete;
  SharedPool& operator=(const SharedPool&) = delete;

  // What fn(pool) returns, which has the pool to itself.
  template <typename Function>
  auto alone(const Function& fn) {
    const Turn turn(*this);
    return fn(pool_);
  }

  // As Qwen2::forward. Rows of an answer, which are few, wait a moment for those of the other
  // sessions that had rows in the pass before or during it, and share a pass with them.
  Status forward(const Qwen2& model, KvCache& cache, const float* rows, int64_t n, int64_t wanted,
                 float* logits);

  // Passes that were run for answers, and the rows in them.
  struct Counts {
    int64_t passes = 0;
    int64_t rows = 0;
  };
  Counts counts() const;

 private:
  struct Waiting;
  // The pool is its owner's alone while it lives.
  class Turn {
   public:
    explicit Turn(SharedPool& shared) : shared_(shared) { shared_.take_turn(); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn() { shared_.end_turn(); }

   private:
    SharedPool& shared_;
  };

  void take_turn();
  void end_turn();
  Status share_pass(Waiting& own);
  void run_pass(std::unique_lock<std::mutex>& lock, const Qwen2& model);

  ThreadPool& pool_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool busy_ = false;
  std::vector<Waiting*> answers_;  // whose rows wait for a pass, in the order of arrival
  int64_t others_ = 0;             // callers of alone() that wait
  bool others_turn_ = false;       // a pass was run while they waited
  size_t expected_ = 0;            // answers in the last pass, and those that came meanwhile
  std::vector<float> logits_;      // of a pass
  Counts counts_;
};

class Compute {
 public:
  // Both must outlive what they are given to.
  Compute(ThreadPool& pool) : pool_(&pool) {}        // NOLINT(google-explicit-constructor)
  Compute(SharedPool& shared) : shared_(&shared) {}  // NOLINT(google-explicit-constructor)

  template <typename Function>
  auto alone(const Function& fn) const {
    return shared_ != nullptr ? shared_->alone(fn) : fn(*pool_);
  }
  Status forward(const Qwen2& model, KvCache& cache, const float* rows, int64_t n, int64_t wanted,
                 float* logits) const {
    return shared_ != nullptr ? shared_->forward(model, cache, rows, n, wanted, logits)
                              : model.forward(cache, rows, n, wanted, logits, *pool_);
  }

 private:
  ThreadPool* pool_ = nullptr;
  SharedPool* shared_ = nullptr;
};

}  // namespace fastvlm

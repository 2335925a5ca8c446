// SPDX-License-Identifier: Apache-2.0
// A fixed team of threads that run one function together. Goals: a step of microseconds can be
// shared (waiting threads spin for a moment before they sleep), the split of work does not depend
// on timing, so that results do not either, and a thread that the system has not woken yet, on a
// busy machine, keeps nobody waiting. Non-goals: queues, futures, nested parallelism.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

namespace fastvlm {

class ThreadPool {
 public:
  // `threads` counts the caller too; 0 means one a core. Fewer where the system grants no more.
  explicit ThreadPool(int threads = 0);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls fn(share) once for each share 0..size()-1, at the same time as far as the threads are
  // awake, and returns when all are done. The caller takes share 0, and what nobody else has taken
  // by the time it is done. One caller at a time; fn must not call the pool again. What a share
  // throws, the first of several, is thrown here when all are done.
  template <typename Function>
  void run(const Function& fn) {
    run_erased(
        [](const void* context, int share) { (*static_cast<const Function*>(context))(share); },
        &fn);
  }

  // Calls fn(begin, end) on contiguous parts of [0, count), one a share, split at multiples of
  // `grain`.
  template <typename Function>
  void parallel_for(int64_t count, int64_t grain, const Function& fn) {
    const int64_t blocks = (count + grain - 1) / grain;
    if (blocks <= 1 || size() == 1) {
      if (count > 0) fn(int64_t{0}, count);
      return;
    }
    const int64_t team = size();
    run([&](int share) {
      const int64_t begin = blocks * share / team * grain;
      const int64_t end = std::min(blocks * (share + 1) / team * grain, count);
      if (begin < end) fn(begin, end);
    });
  }

 private:
  using Erased = void (*)(const void* context, int share);

  void run_erased(Erased fn, const void* context);
  void run_share(int share) noexcept;
  void work(int share);
  bool claim(int share, uint32_t generation);

  std::vector<std::thread> workers_;
  Erased fn_ = nullptr;
  const void* context_ = nullptr;
  std::atomic<uint32_t> generation_{0};         // counts runs; workers wait for it to move
  std::vector<std::atomic<uint32_t>> claimed_;  // [size()] the last run in which a share was taken
  std::atomic<int> pending_{0};  // shares of this run that are not done, without the first
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;  // written by whoever set failed_
};

}  // namespace fastvlm

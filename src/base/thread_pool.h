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
#include <optional>
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

  // The indices that one share takes of those that share_out hands out.
  class Indices {
   public:
    Indices(ThreadPool& pool, int share, int64_t end) : pool_(pool), share_(share), end_(end) {}

    // The next index, none when all are taken.
    std::optional<int64_t> take() { return pool_.take(share_); }
    // Where the share's own part ends.
    int64_t end() const { return end_; }

   private:
    ThreadPool& pool_;
    int share_;
    int64_t end_;
  };

  // Calls fn(indices) once for each share; together they take every index in [0, count) once (count
  // below 2^32). Each share goes upwards through a contiguous part of its own, the same for the
  // same count, so that a core finds in its cache what it wrote there the last time. A share that
  // is through takes what is left of the others' parts, from their ends.
  template <typename Function>
  void share_out(int64_t count, const Function& fn) {
    deal(count);
    run([&](int share) { fn(Indices(*this, share, part_end(count, share))); });
  }

  // Calls fn(i) for every i in [0, count), handed out in the same way.
  template <typename Function>
  void for_each(int64_t count, const Function& fn) {
    if (count == 1) fn(int64_t{0});
    if (count <= 1) return;
    share_out(count, [&](Indices indices) {
      while (const std::optional<int64_t> i = indices.take()) fn(*i);
    });
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
    run([&](int share) {
      const int64_t begin = part_end(blocks, share - 1) * grain;
      const int64_t end = std::min(part_end(blocks, share) * grain, count);
      if (begin < end) fn(begin, end);
    });
  }

 private:
  using Erased = void (*)(const void* context, int share);

  // What is left of a share's part of the indices: the first of them and the one behind the last,
  // in one word, since it is taken from both ends.
  struct alignas(64) Part {
    std::atomic<uint64_t> left{0};
  };

  // Where a share's part of `count` in a row ends, and the next one's begins.
  int64_t part_end(int64_t count, int64_t share) const { return count * (share + 1) / size(); }
  void deal(int64_t count);
  std::optional<int64_t> take(int share);
  void run_erased(Erased fn, const void* context);
  void run_share(int share) noexcept;
  void work(int share);
  bool claim(int share, uint32_t generation);

  std::vector<std::thread> workers_;
  Erased fn_ = nullptr;
  const void* context_ = nullptr;
  std::atomic<uint32_t> generation_{0};         // counts runs; workers wait for it to move
  std::vector<std::atomic<uint32_t>> claimed_;  // [size()] the last run in which a share was taken
  std::vector<Part> parts_;                     // [size()]
  std::atomic<int> pending_{0};  // shares of this run that are not done, without the first
  std::atomic<bool> stopping_{false};
  std::atomic<bool> failed_{false};
  std::exception_ptr failure_;  // written by whoever set failed_
};

}  // namespace fastvlm

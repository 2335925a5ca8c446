// SPDX-License-Identifier: Apache-2.0
#include "base/thread_pool.h"

#include <system_error>
#include <utility>

#include "base/cpu.h"

namespace fastvlm {
namespace {

// About 40 microseconds of spinning: longer than the gap between two kernels, far shorter than a
// scheduler's time slice.
constexpr int kSpins = 2000;

// The first of the two indices in a word.
constexpr uint64_t kIndex = uint64_t{1} << 32;

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits until `value` differs from `old`, spinning first.
template <typename T>
void wait_while(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int threads)
    : claimed_(static_cast<size_t>(threads > 0 ? threads : cpu_count())), parts_(claimed_.size()) {
  threads = static_cast<int>(claimed_.size());
  workers_.reserve(claimed_.size());
  try {
    for (int thread = 1; thread < threads; ++thread) {
      workers_.emplace_back([this, thread] { work(thread); });
    }
  } catch (const std::system_error&) {
    // A limit on threads or memory is reached: the team stays smaller and computes the same.
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run_erased(Erased fn, const void* context) {
  if (workers_.empty()) return fn(context, 0);
  fn_ = fn;
  context_ = context;
  pending_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
  const uint32_t generation = generation_.fetch_add(1, std::memory_order_release) + 1;
  generation_.notify_all();
  run_share(0);
  for (int share = 1; share < size(); ++share) {
    if (!claim(share, generation)) continue;
    run_share(share);
    pending_.fetch_sub(1, std::memory_order_acq_rel);
  }
  for (int left = pending_.load(std::memory_order_acquire); left != 0;
       left = pending_.load(std::memory_order_acquire)) {
    wait_while(pending_, left);
  }
  if (failed_.exchange(false, std::memory_order_relaxed)) {
    std::rethrow_exception(std::exchange(failure_, nullptr));
  }
}

void ThreadPool::deal(int64_t count) {
  for (int share = 0; share < size(); ++share) {
    const auto begin = static_cast<uint64_t>(part_end(count, share - 1));
    const auto end = static_cast<uint64_t>(part_end(count, share));
    parts_[static_cast<size_t>(share)].left.store(begin * kIndex | end, std::memory_order_relaxed);
  }
}

std::optional<int64_t> ThreadPool::take(int share) {
  for (int i = 0; i < size(); ++i) {
    std::atomic<uint64_t>& left = parts_[static_cast<size_t>((share + i) % size())].left;
    uint64_t part = left.load(std::memory_order_relaxed);
    while (part / kIndex < part % kIndex) {
      const uint64_t rest = i == 0 ? part + kIndex : part - 1;
      if (left.compare_exchange_weak(part, rest, std::memory_order_relaxed)) {
        return static_cast<int64_t>(i == 0 ? part / kIndex : rest % kIndex);
      }
    }
  }
  return std::nullopt;
}

// What a share throws waits until all are done: the others use what the caller would tear down.
void ThreadPool::run_share(int share) noexcept {
  try {
    fn_(context_, share);
  } catch (...) {
    if (!failed_.exchange(true, std::memory_order_relaxed)) failure_ = std::current_exception();
  }
}

// Every share is claimed once in every run. Whoever claims one of run `generation` may read fn_ and
// context_: they change only after all shares are done.
bool ThreadPool::claim(int share, uint32_t generation) {
  uint32_t before = generation - 1;
  return claimed_[static_cast<size_t>(share)].compare_exchange_strong(
      before, generation, std::memory_order_acq_rel, std::memory_order_relaxed);
}

void ThreadPool::work(int share) {
  uint32_t seen = 0;
  while (true) {
    wait_while(generation_, seen);
    seen = generation_.load(std::memory_order_acquire);  // it may have slept through several
    if (stopping_.load(std::memory_order_relaxed)) return;
    if (!claim(share, seen)) continue;
    run_share(share);
    if (pending_.fetch_sub(1, std::memory_order_acq_rel) == 1) pending_.notify_one();
  }
}

}  // namespace fastvlm

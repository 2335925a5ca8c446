// SPDX-License-Identifier: Apache-2.0
// What sharing passes is worth: SESSIONS answers of COUNT tokens at a time beside one at a time, on
// the same pool.
//   shared_bench MODEL SESSIONS COUNT THREADS ROUNDS
// MODEL holds weights of a language model. Prints tokens a second of both, in turn, and the median
// of the ratios.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/stopwatch.h"
#include "formats/checkpoint.h"
#include "language/compute.h"
#include "must.h"

namespace fastvlm {
namespace {

using bench::must;

constexpr int64_t kPrompt = 320;

class Answer {
 public:
  Answer(const Qwen2& model, int64_t count, int salt, ThreadPool& pool)
      : model_(model), cache_(model.config(), kPrompt + count) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < kPrompt; ++i) {
      ids.push_back(static_cast<int32_t>((i * 7919 + salt) % model.config().vocab_size));
    }
    std::vector<float> rows(ids.size() * static_cast<size_t>(model.config().hidden_size));
    must(model.embed(ids, rows.data()));
    must(model.forward(cache_, rows.data(), kPrompt, Qwen2::Logits::kLast, logits_, pool));
  }

  // Token by token, greedy.
  void run(int64_t count, Compute compute) {
    std::vector<float> row(static_cast<size_t>(model_.config().hidden_size));
    for (int64_t i = 0; i < count; ++i) {
      const auto best = std::max_element(logits_.begin(), logits_.end()) - logits_.begin();
      const auto id = static_cast<int32_t>(best);
      must(model_.embed({&id, 1}, row.data()));
      must(compute.forward(model_, cache_, row.data(), 1, 1, logits_.data()));
    }
  }

 private:
  const Qwen2& model_;
  KvCache cache_;
  std::vector<float> logits_;
};

void run(const std::string& folder, int sessions, int64_t count, int threads, int rounds) {
  ThreadPool pool(threads);
  const Qwen2 model = must(Qwen2::load(must(Checkpoint::open(folder)), pool, Arithmetic::kInt8));
  std::vector<double> ratios;
  for (int round = 0; round < rounds; ++round) {
    Answer single(model, count, round, pool);
    const Stopwatch alone_watch;
    single.run(count, pool);
    const double alone = static_cast<double>(count) / alone_watch.seconds();

    SharedPool shared(pool);
    std::vector<std::unique_ptr<Answer>> answers;
    for (int i = 0; i < sessions; ++i) {
      answers.push_back(std::make_unique<Answer>(model, count, i, pool));
    }
    const Stopwatch watch;
    std::vector<std::thread> team;
    for (const auto& one : answers) {
      team.emplace_back([&, &one = *one] { one.run(count, shared); });
    }
    for (std::thread& thread : team) thread.join();
    const double together = static_cast<double>(sessions * count) / watch.seconds();
    ratios.push_back(together / alone);
    const auto [passes, rows] = shared.counts();
    std::printf("one at a time %.1f tokens/s, %d together %.1f tokens/s, %.2f rows a pass\n", alone,
                sessions, together, static_cast<double>(rows) / static_cast<double>(passes));
  }
  std::sort(ratios.begin(), ratios.end());
  std::printf("median ratio %.2f\n", ratios[ratios.size() / 2]);
}

}  // namespace
}  // namespace fastvlm

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fprintf(stderr, "shared_bench MODEL SESSIONS COUNT THREADS ROUNDS\n");
    return 1;
  }
  fastvlm::run(argv[1], std::atoi(argv[2]), std::atoll(argv[3]), std::atoi(argv[4]),
               std::atoi(argv[5]));
}

// SPDX-License-Identifier: Apache-2.0
// Speed of the language model from end to end: a prompt, and one token after another, on the
// checkpoint in the folder FASTVLM_MODEL (`fastvlm dev make-checkpoint --bits 4` makes one of real
// size). Rates are per second of processor time, as in kernels_bench:
//   FASTVLM_MODEL=DIR language_bench      FASTVLM_THREADS=2 for a team of two
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <optional>
#include <vector>

#include "kernels/machine_limits.h"
#include "language/qwen2.h"
#include "team.h"

namespace fastvlm {
namespace {

using bench::pool;

Qwen2 load(Arithmetic arithmetic) {
  const char* folder = std::getenv("FASTVLM_MODEL");
  const auto fail = [](const Status& status) {
    std::fprintf(stderr, "FASTVLM_MODEL: %s\n", status.message.c_str());
    std::exit(1);
  };
  const auto checkpoint = Checkpoint::open(folder == nullptr ? "" : folder);
  if (!checkpoint.ok()) fail(checkpoint.status());
  auto model = Qwen2::load(*checkpoint, pool(), arithmetic);
  if (!model.ok()) fail(model.status());
  return std::move(*model);
}

// The model of the benchmark that runs; the last one is let go first.
const Qwen2& model(Arithmetic arithmetic) {
  static std::optional<Qwen2> loaded;
  static Arithmetic as = Arithmetic::kF32;
  if (!loaded || as != arithmetic) {
    loaded.reset();
    loaded.emplace(load(arithmetic));
    as = arithmetic;
  }
  return *loaded;
}

std::vector<float> prompt(const Qwen2& model, int64_t tokens) {
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>(static_cast<int64_t>(i) * 7919 % model.config().vocab_size);
  }
  std::vector<float> rows(static_cast<size_t>(tokens * model.config().hidden_size));
  static_cast<void>(model.embed(ids, rows.data()));
  return rows;
}

void BM_Prefill(benchmark::State& state) {
  const auto arithmetic = static_cast<Arithmetic>(state.range(0));
  const int64_t tokens = state.range(1);
  const Qwen2& weights = model(arithmetic);
  const std::vector<float> rows = prompt(weights, tokens);
  KvCache cache(weights.config(), tokens);
  std::vector<float> logits;
  for (auto _ : state) {
    cache.truncate(0);
    static_cast<void>(
        weights.forward(cache, rows.data(), tokens, Qwen2::Logits::kLast, logits, pool()));
  }
  const int64_t embedding = weights.config().vocab_size * weights.config().hidden_size;
  const double operations =
      2.0 * static_cast<double>((weights.parameters() - embedding) * tokens + embedding);
  const double peak = arithmetic == Arithmetic::kInt8 ? peak_dot_operations() : peak_flops();
  const double done = operations * static_cast<double>(state.iterations());
  state.counters["GOP/s"] = benchmark::Counter(done * 1e-9, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(done / peak, benchmark::Counter::kIsRate);
}

void BM_Decode(benchmark::State& state) {
  const auto arithmetic = static_cast<Arithmetic>(state.range(0));
  const int64_t past = state.range(1);
  const Qwen2& weights = model(arithmetic);
  const std::vector<float> rows = prompt(weights, past);
  KvCache cache(weights.config(), past + 1);
  std::vector<float> logits;
  static_cast<void>(
      weights.forward(cache, rows.data(), past, Qwen2::Logits::kNone, logits, pool()));
  for (auto _ : state) {
    cache.truncate(past);
    static_cast<void>(weights.forward(cache, rows.data(), 1, Qwen2::Logits::kLast, logits, pool()));
  }
  const double read = static_cast<double>(weights.bytes() * state.iterations());
  state.counters["GB/s"] = benchmark::Counter(read * 1e-9, benchmark::Counter::kIsRate);
  state.counters["of_read"] = benchmark::Counter(read / peak_read(), benchmark::Counter::kIsRate);
}

// What a pass costs that checks drafts: `rows` ids behind `past`, logits of all of them.
void BM_Pass(benchmark::State& state) {
  const int64_t past = state.range(0);
  const int64_t rows = state.range(1);
  const Qwen2& weights = model(Arithmetic::kInt8);
  const std::vector<float> inputs = prompt(weights, past + rows);
  KvCache cache(weights.config(), past + rows);
  std::vector<float> logits;
  static_cast<void>(
      weights.forward(cache, inputs.data(), past, Qwen2::Logits::kNone, logits, pool()));
  const float* const behind = inputs.data() + past * weights.config().hidden_size;
  for (auto _ : state) {
    cache.truncate(past);
    static_cast<void>(weights.forward(cache, behind, rows, Qwen2::Logits::kAll, logits, pool()));
  }
}

constexpr int kF32 = static_cast<int>(Arithmetic::kF32);
constexpr int kInt8 = static_cast<int>(Arithmetic::kInt8);
BENCHMARK(BM_Prefill)
    ->MeasureProcessCPUTime()
    ->ArgNames({"arithmetic", "tokens"})
    ->Unit(benchmark::kMillisecond)
    ->Args({kInt8, 320})
    ->Args({kInt8, 32})
    ->Args({kInt8, 8});
BENCHMARK(BM_Decode)
    ->MeasureProcessCPUTime()
    ->ArgNames({"arithmetic", "past"})
    ->Unit(benchmark::kMillisecond)
    ->Args({kInt8, 64})
    ->Args({kInt8, 600})
    ->Args({kF32, 64});
BENCHMARK(BM_Pass)
    ->MeasureProcessCPUTime()
    ->ArgNames({"past", "rows"})
    ->Unit(benchmark::kMillisecond)
    ->ArgsProduct({{400}, {1, 2, 3, 4, 6, 8, 12, 16}});
BENCHMARK(BM_Prefill)
    ->MeasureProcessCPUTime()
    ->ArgNames({"arithmetic", "tokens"})
    ->Unit(benchmark::kMillisecond)
    ->Args({kF32, 320});

}  // namespace
}  // namespace fastvlm

BENCHMARK_MAIN();

// SPDX-License-Identifier: Apache-2.0
// Speed of the kernels on the shapes of the models, per second of processor time (so that other
// work on the machine does not count), as a fraction of what one thread can do in the same run:
//   kernels_bench [--benchmark_filter=...]      FASTVLM_THREADS=2 for a team of two
#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/attention.h"
#include "kernels/convolution.h"
#include "kernels/dot_matmul.h"
#include "kernels/elementwise.h"
#include "kernels/machine_limits.h"
#include "kernels/matmul.h"
#include "kernels/scratch.h"
#include "kernels/spatial_convolution.h"
#include "kernels/table.h"
#include "kernels/winograd.h"
#include "team.h"

namespace fastvlm {
namespace {

using bench::pool;

std::vector<float> numbers(int64_t count) {
  std::minstd_rand engine(1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    value = static_cast<float>(static_cast<double>(engine()) / 2147483648.0) - 0.5F;
  }
  return values;
}

Matrix weights(WeightType type, int64_t rows, int64_t cols,
               Arithmetic arithmetic = Arithmetic::kF32) {
  const std::vector<float> bytes = numbers(rows * cols);
  const std::vector<uint16_t> scales(static_cast<size_t>(rows * cols / 32), 0x1C00);
  MatrixSource source;
  source.type = type;
  source.rows = rows;
  source.cols = cols;
  source.data = bytes.data();
  source.scales = source.biases = scales.data();
  std::vector<uint16_t> halves;
  if (type == WeightType::kF16 || type == WeightType::kBF16) {
    halves.assign(static_cast<size_t>(rows * cols), 0x3C01);
    source.data = halves.data();
  }
  return Matrix::pack(source, pool(), arithmetic);
}

// Operations an iteration as a rate and as a fraction of the peak.
void count_operations(benchmark::State& state, double operations, double peak) {
  const double done = operations * static_cast<double>(state.iterations());
  state.counters["GOP/s"] = benchmark::Counter(done * 1e-9, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(done / peak, benchmark::Counter::kIsRate);
}

void count_flops(benchmark::State& state, double flops) {
  count_operations(state, flops, peak_flops());
}

void count_bytes(benchmark::State& state, double bytes) {
  const double peak = peak_read();
  const double done = bytes * static_cast<double>(state.iterations());
  state.counters["GB/s"] = benchmark::Counter(done * 1e-9, benchmark::Counter::kIsRate);
  state.counters["of_read"] = benchmark::Counter(done / peak, benchmark::Counter::kIsRate);
}

void BM_Matmul(benchmark::State& state) {
  const auto type = static_cast<WeightType>(state.range(0));
  const int64_t m = state.range(1);
  const int64_t n = state.range(2);
  const int64_t k = state.range(3);
  const Matrix w = weights(type, n, k);
  const std::vector<float> x = numbers(m * k);
  std::vector<float> y(static_cast<size_t>(m * n));
  for (auto _ : state) matmul(pool(), x.data(), m, k, w, y.data(), n);
  count_flops(state, 2.0 * static_cast<double>(m * n * k));
  if (m == 1) count_bytes(state, static_cast<double>(w.bytes()));
}
constexpr int kF32 = static_cast<int>(WeightType::kF32);
constexpr int kF16 = static_cast<int>(WeightType::kF16);
constexpr int kBF16 = static_cast<int>(WeightType::kBF16);
constexpr int kQ4 = static_cast<int>(WeightType::kQ4);
constexpr int kQ8 = static_cast<int>(WeightType::kQ8);
BENCHMARK(BM_Matmul)
    ->MeasureProcessCPUTime()
    ->ArgNames({"type", "m", "n", "k"})
    ->Unit(benchmark::kMillisecond)
    ->Args({kF32, 16384, 384, 96})
    ->Args({kF32, 16384, 96, 384})
    ->Args({kF32, 4096, 768, 192})
    ->Args({kF32, 4096, 1536, 384})
    ->Args({kF32, 1024, 3072, 768})
    ->Args({kF32, 256, 6144, 1536})
    ->Args({kF32, 256, 1536, 6144})
    ->Args({kF16, 1024, 3072, 768})
    ->Args({kQ4, 320, 4864, 896})
    ->Args({kQ4, 320, 896, 4864})
    ->Args({kQ4, 320, 896, 896})
    ->Args({kQ4, 320, 128, 896})
    ->Args({kQ8, 320, 4864, 896})
    ->Args({kQ4, 2, 4864, 896})
    ->Args({kQ4, 4, 4864, 896})
    ->Args({kQ4, 8, 4864, 896})
    ->Args({kQ4, 1, 151936, 896})
    ->Args({kQ4, 1, 4864, 896})
    ->Args({kQ4, 1, 896, 4864})
    ->Args({kQ8, 1, 151936, 896})
    ->Args({kF16, 1, 151936, 896})
    ->Args({kBF16, 1, 151936, 896})
    ->Args({kF32, 1, 40000, 896});

// 4- and 8-bit weights with activations in 8 bits; the peak is that of dot products of bytes.
void BM_MatmulInt8(benchmark::State& state) {
  const auto type = static_cast<WeightType>(state.range(0));
  const int64_t m = state.range(1);
  const int64_t n = state.range(2);
  const int64_t k = state.range(3);
  const Matrix w = weights(type, n, k, Arithmetic::kInt8);
  const std::vector<float> x = numbers(m * k);
  std::vector<float> y(static_cast<size_t>(m * n));
  for (auto _ : state) matmul(pool(), x.data(), m, k, w, y.data(), n);
  count_operations(state, 2.0 * static_cast<double>(m * n * k), peak_dot_operations());
  if (m == 1) count_bytes(state, static_cast<double>(w.bytes()));
}
BENCHMARK(BM_MatmulInt8)
    ->MeasureProcessCPUTime()
    ->ArgNames({"type", "m", "n", "k"})
    ->Unit(benchmark::kMillisecond)
    ->Args({kQ4, 256, 4864, 896})
    ->Args({kQ4, 256, 896, 4864})
    ->Args({kQ4, 256, 896, 896})
    ->Args({kQ4, 256, 128, 896})
    ->Args({kQ8, 256, 4864, 896})
    ->Args({kQ4, 12, 4864, 896})
    ->Args({kQ4, 8, 151936, 896})
    ->Args({kQ4, 4, 151936, 896})
    ->Args({kQ4, 2, 151936, 896})
    ->Args({kQ4, 1, 151936, 896})
    ->Args({kQ4, 1, 4864, 896})
    ->Args({kQ4, 1, 896, 4864})
    ->Args({kQ8, 1, 151936, 896});

// Both layers and what surrounds them.
template <typename Weights>
void time_mlp(benchmark::State& state, int64_t m, const Weights& fc1, const Weights& fc2,
              const std::vector<float>& bias, double peak) {
  const int64_t width = fc2.rows();
  const std::vector<float> x = numbers(m * width);
  std::vector<float> y(x.size());
  Epilogue epilogue;
  epilogue.bias = epilogue.scale = bias.data();
  epilogue.residual = y.data();
  epilogue.residual_stride = width;
  for (auto _ : state) {
    mlp(pool(), x.data(), m, width, fc1, bias.data(), fc2, y.data(), width, epilogue);
  }
  count_operations(state, 4.0 * static_cast<double>(m * width * fc1.rows()), peak);
}

void BM_Mlp(benchmark::State& state) {
  const int64_t width = state.range(1);
  const Matrix fc1 = weights(WeightType::kF32, 4 * width, width);
  const Matrix fc2 = weights(WeightType::kF32, width, 4 * width);
  time_mlp(state, state.range(0), fc1, fc2, numbers(4 * width), peak_flops());
}
BENCHMARK(BM_Mlp)
    ->MeasureProcessCPUTime()
    ->ArgNames({"m", "width"})
    ->Unit(benchmark::kMillisecond)
    ->Args({65536, 96})
    ->Args({16384, 192})
    ->Args({4096, 384})
    ->Args({1024, 768})
    ->Args({256, 1536});

// The expanded width is `expand` times the other.
void BM_MlpInt8(benchmark::State& state) {
  const int64_t width = state.range(1);
  const int64_t wide = width * state.range(2);
  const std::vector<float> values = numbers(wide * width);
  const DotMatrix fc1 = DotMatrix::pack({.rows = wide, .cols = width, .data = values.data()},
                                        Arithmetic::kInt8, pool());
  const DotMatrix fc2 = DotMatrix::pack({.rows = width, .cols = wide, .data = values.data()},
                                        Arithmetic::kInt8, pool());
  time_mlp(state, state.range(0), fc1, fc2, values, peak_dot_operations());
}
BENCHMARK(BM_MlpInt8)
    ->MeasureProcessCPUTime()
    ->ArgNames({"m", "width", "expand"})
    ->Unit(benchmark::kMillisecond)
    ->Args({4096, 64, 3})
    ->Args({1024, 128, 3})
    ->Args({256, 256, 3})
    ->Args({64, 512, 3})
    ->Args({16384, 192, 4})
    ->Args({4096, 384, 4})
    ->Args({1024, 768, 4})
    ->Args({256, 1536, 4});

void BM_Depthwise(benchmark::State& state) {
  const int64_t side = state.range(0);
  const int64_t channels = state.range(1);
  const auto kernel = static_cast<int>(state.range(2));
  const auto stride = static_cast<int>(state.range(3));
  const auto multiplier = static_cast<int>(state.range(4));
  const int64_t outputs = channels * multiplier;
  const DepthwiseConvolution conv = make_depthwise(numbers(outputs * kernel * kernel),
                                                   numbers(outputs), kernel, stride, multiplier);
  const std::vector<float> x = numbers(side * side * channels);
  const int64_t pixels = side * side / stride / stride;
  std::vector<float> y(static_cast<size_t>(pixels * outputs));
  for (auto _ : state) depthwise(pool(), x.data(), side, side, conv, y.data());
  count_flops(state, 2.0 * static_cast<double>(pixels * outputs * kernel * kernel));
}
BENCHMARK(BM_Depthwise)
    ->MeasureProcessCPUTime()
    ->ArgNames({"side", "channels", "kernel", "stride", "multiplier"})
    ->Unit(benchmark::kMillisecond)
    ->Args({256, 96, 7, 1, 1})
    ->Args({256, 96, 3, 1, 1})
    ->Args({256, 96, 7, 2, 2})
    ->Args({64, 384, 7, 1, 1})
    ->Args({64, 384, 3, 1, 1})
    ->Args({16, 1536, 7, 1, 1})
    ->Args({16, 1536, 3, 1, 2});

// The 3x3 convolutions of a detector (YOLO11n at 640), and the same by Winograd's method; of_peak
// counts the plain sum's operations for both.
void BM_Spatial(benchmark::State& state) {
  const int64_t side = state.range(0);
  const int64_t inputs = state.range(1);
  const int64_t outputs = state.range(2);
  const auto stride = static_cast<int>(state.range(3));
  const std::vector<float> kernel = numbers(outputs * inputs * 9);
  const std::vector<float> bias = numbers(outputs);
  const int64_t pixels = side * side / stride / stride;
  Scratch x_memory, y_memory;  // aligned as a network's maps are
  float* const x = x_memory.floats(side * side * inputs);
  float* const y = y_memory.floats(pixels * outputs);
  std::ranges::copy(numbers(side * side * inputs), x);
  const auto run = [&](const auto& conv) {
    for (auto _ : state) {
      convolve(pool(), {x, side, side, inputs}, conv, y, outputs,
               {.activation = Activation::kSilu});
    }
  };
  if (state.range(4) != 0) {
    run(make_winograd(pool(), kernel, bias, inputs));
  } else {
    run(make_spatial(pool(), kernel, bias, inputs, 3, stride, Arithmetic::kF32));
  }
  count_flops(state, 18.0 * static_cast<double>(pixels * outputs * inputs));
}
BENCHMARK(BM_Spatial)
    ->MeasureProcessCPUTime()
    ->ArgNames({"side", "inputs", "outputs", "stride", "winograd"})
    ->Unit(benchmark::kMicrosecond)
    ->ArgsProduct({{160}, {8}, {16}, {1}, {0, 1}})
    ->ArgsProduct({{160}, {16}, {8}, {1}, {0, 1}})
    ->ArgsProduct({{80}, {16}, {32}, {1}, {0, 1}})
    ->ArgsProduct({{80}, {32}, {16}, {1}, {0, 1}})
    ->ArgsProduct({{80}, {64}, {64}, {1}, {0, 1}})
    ->ArgsProduct({{40}, {32}, {32}, {1}, {0, 1}})
    ->ArgsProduct({{40}, {64}, {32}, {1}, {0, 1}})
    ->ArgsProduct({{40}, {64}, {64}, {1}, {0, 1}})
    ->ArgsProduct({{40}, {128}, {64}, {1}, {0, 1}})
    ->ArgsProduct({{20}, {64}, {64}, {1}, {0, 1}})
    ->ArgsProduct({{20}, {256}, {64}, {1}, {0, 1}})
    ->Args({640, 3, 16, 2, 0})
    ->Args({320, 16, 32, 2, 0})
    ->Args({160, 64, 64, 2, 0})
    ->Args({80, 128, 128, 2, 0})
    ->Args({40, 128, 256, 2, 0})
    ->Args({80, 64, 64, 2, 0})
    ->Args({40, 128, 128, 2, 0});

void BM_Attention(benchmark::State& state) {
  AttentionShape shape;
  shape.queries = state.range(0);
  shape.keys = state.range(1);
  shape.heads = state.range(2);
  shape.kv_heads = state.range(3);
  shape.head_dim = state.range(4);
  shape.scale = 0.1F;
  shape.causal = shape.heads != shape.kv_heads;
  const int64_t width = shape.heads * shape.head_dim;
  const int64_t kv_width = shape.kv_heads * shape.head_dim;
  const std::vector<float> q = numbers(shape.queries * width);
  const std::vector<float> kv = numbers(shape.keys * kv_width);
  std::vector<float> out(q.size());
  for (auto _ : state) {
    attention(pool(), shape, q.data(), width, kv.data(), kv_width, kv.data(), kv_width, out.data(),
              width);
  }
  const double seen =
      shape.causal ? static_cast<double>(shape.keys) - static_cast<double>(shape.queries - 1) / 2
                   : static_cast<double>(shape.keys);
  count_flops(state, 4.0 * static_cast<double>(shape.queries * width) * seen);
}
BENCHMARK(BM_Attention)
    ->MeasureProcessCPUTime()
    ->ArgNames({"queries", "keys", "heads", "kv", "dim"})
    ->Unit(benchmark::kMicrosecond)
    ->Args({1024, 1024, 24, 24, 32})
    ->Args({256, 256, 48, 48, 32})
    ->Args({320, 320, 14, 2, 64})
    ->Args({1, 600, 14, 2, 64});

void BM_LayerNorm(benchmark::State& state) {
  const int64_t width = state.range(1);
  std::vector<float> x = numbers(state.range(0) * width);
  const std::vector<float> weight = numbers(width);
  for (auto _ : state) {
    layer_norm(pool(), x.data(), state.range(0), width, weight.data(), weight.data(), 1e-5F,
               x.data());
  }
  count_bytes(state, 8.0 * static_cast<double>(x.size()));
}
BENCHMARK(BM_LayerNorm)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond)->Args({1024, 768});

void BM_Affine(benchmark::State& state) {
  const int64_t width = state.range(1);
  std::vector<float> x = numbers(state.range(0) * width);
  const std::vector<float> weight = numbers(width);
  for (auto _ : state) {
    affine(pool(), x.data(), state.range(0), width, weight.data(), weight.data(), x.data());
  }
  count_bytes(state, 8.0 * static_cast<double>(x.size()));
}
BENCHMARK(BM_Affine)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond)->Args({65536, 96});

void BM_SiluMultiply(benchmark::State& state) {
  std::vector<float> gate = numbers(state.range(0));
  const std::vector<float> up = numbers(state.range(0));
  for (auto _ : state) silu_multiply(pool(), gate.data(), up.data(), state.range(0));
  count_bytes(state, 12.0 * static_cast<double>(gate.size()));
}
BENCHMARK(BM_SiluMultiply)->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond)->Arg(320 * 4864);

}  // namespace
}  // namespace fastvlm

BENCHMARK_MAIN();

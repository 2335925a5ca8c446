// SPDX-License-Identifier: Apache-2.0
// Speed and accuracy of a tower at each arithmetic, on one picture of noise and ramps:
//   vision_bench CHECKPOINT SIDE [THREADS [REPETITIONS [fp32|bf16|int8]]]
// Repetitions of the arithmetics follow each other in turn. Times are of the clock and of the
// processor (all threads), the least of the repetitions; errors are against f32: the cosine of the
// tokens (mean, worst) and the worst channel's root of mean squared error over that of its values.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string_view>

#include "machine_limits.h"
#include "vision/tower.h"

namespace fastvlm {
namespace {

double seconds(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

std::vector<float> picture(int64_t side) {
  std::minstd_rand engine(1);
  std::vector<float> pixels(static_cast<size_t>(side * side * 3));
  for (int64_t i = 0; i < static_cast<int64_t>(pixels.size()); ++i) {
    const auto ramp =
        static_cast<double>(i / 3 % side + i / 3 / side) / static_cast<double>(2 * side);
    const double noise = static_cast<double>(engine()) / 2147483648.0;
    pixels[static_cast<size_t>(i)] = static_cast<float>(0.75 * ramp + 0.25 * noise);
  }
  return pixels;
}

struct Run {
  const char* name;
  VisionTower tower;
  Tokens tokens = {};
  double clock = 1e9;
  double processor = 1e9;

  void encode(const std::vector<float>& pixels, int64_t side, ThreadPool& pool) {
    const double start = seconds(CLOCK_MONOTONIC);
    const double processor_start = seconds(CLOCK_PROCESS_CPUTIME_ID);
    tokens = std::move(*tower.encode(pixels.data(), side, side, pool));
    clock = std::min(clock, seconds(CLOCK_MONOTONIC) - start);
    processor = std::min(processor, seconds(CLOCK_PROCESS_CPUTIME_ID) - processor_start);
  }
};

void print_errors(const Tokens& found, const Tokens& exact) {
  double mean = 0.0;
  double worst = 1.0;
  std::vector<double> errors(static_cast<size_t>(exact.width));
  std::vector<double> squares(errors.size());
  for (int64_t t = 0; t < exact.count; ++t) {
    double product = 0.0;
    double length = 0.0;
    double exact_length = 0.0;
    for (int64_t c = 0; c < exact.width; ++c) {
      const auto i = static_cast<size_t>(t * exact.width + c);
      const double a = double{found.values[i]};
      const double b = double{exact.values[i]};
      product += a * b;
      length += a * a;
      exact_length += b * b;
      errors[static_cast<size_t>(c)] += (a - b) * (a - b);
      squares[static_cast<size_t>(c)] += b * b;
    }
    const double cosine = product / std::sqrt(length * exact_length);
    mean += cosine / static_cast<double>(exact.count);
    worst = std::min(worst, cosine);
  }
  double channel = 0.0;
  for (size_t c = 0; c < errors.size(); ++c) {
    channel = std::max(channel, std::sqrt(errors[c] / std::max(squares[c], 1e-30)));
  }
  std::printf("  cosine %.6f mean, %.6f worst; worst channel %.4f", mean, worst, channel);
}

int run(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "vision_bench CHECKPOINT SIDE [THREADS [REPETITIONS [fp32|bf16|int8]]]\n");
    return 1;
  }
  const int64_t side = std::atoi(arguments[2]);
  ThreadPool pool(count > 3 ? std::atoi(arguments[3]) : 1);
  const int repetitions = count > 4 ? std::atoi(arguments[4]) : 3;
  const auto checkpoint = Checkpoint::open(arguments[1]);
  if (!checkpoint.ok()) {
    std::fprintf(stderr, "%s\n", checkpoint.status().message.c_str());
    return 2;
  }
  std::vector<Run> runs;
  for (const auto& [name, arithmetic] : {std::pair{"fp32", Arithmetic::kF32},
                                         {"bf16", Arithmetic::kBf16},
                                         {"int8", Arithmetic::kInt8}}) {
    if (count > 5 && std::string_view(arguments[5]) != name) continue;
    auto tower = VisionTower::load(*checkpoint, pool, arithmetic);
    if (!tower.ok()) {
      std::fprintf(stderr, "%s\n", tower.status().message.c_str());
      return 2;
    }
    runs.push_back({name, std::move(*tower)});
  }
  const std::vector<float> pixels = picture(side);
  double peak = 0.0;
  for (int i = 0; i < repetitions; ++i) {
    peak = std::max(peak, bench::peak_int8());
    for (Run& r : runs) r.encode(pixels, side, pool);
  }
  std::printf("int8 peak of a thread %.0f GOP/s\n", peak * 1e-9);
  for (const Run& r : runs) {
    std::printf("%s  %8.1f ms  %8.1f ms of processor", r.name, r.clock * 1e3, r.processor * 1e3);
    print_errors(r.tokens, runs.front().tokens);
    std::printf("\n");
  }
  return 0;
}

}  // namespace
}  // namespace fastvlm

int main(int count, char** arguments) {
  return fastvlm::run(count, arguments);
}

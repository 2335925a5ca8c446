// SPDX-License-Identifier: Apache-2.0
// Speed and accuracy of a tower at each arithmetic, on one picture of noise and ramps:
//   vision_bench CHECKPOINT SIDE [THREADS [REPETITIONS [all|fp32|bf16|int8 [ISA]]]]
// Repetitions of the arithmetics follow each other in turn. Times are of the clock and of the
// processor (all threads), the least of the repetitions. Errors are against f32: the cosine of the
// tokens, the same with every channel brought to one size, and the error of the worst channel over
// its size; sizes are roots of mean squares, and at least a hundredth of the median channel's.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string_view>

#include "kernels/machine_limits.h"
#include "kernels/table.h"
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

// The root of the mean square of every channel.
std::vector<double> channel_sizes(const Tokens& tokens) {
  std::vector<double> squares(static_cast<size_t>(tokens.width));
  for (size_t i = 0; i < tokens.values.size(); ++i) {
    squares[i % squares.size()] += double{tokens.values[i]} * double{tokens.values[i]};
  }
  for (double& square : squares) square = std::sqrt(square / static_cast<double>(tokens.count));
  return squares;
}

// Mean and least cosine of the tokens, each channel divided by its size.
void print_cosine(const Tokens& found, const Tokens& exact, const std::vector<double>& sizes) {
  double mean = 0.0;
  double worst = 1.0;
  for (int64_t t = 0; t < exact.count; ++t) {
    double product = 0.0;
    double length = 0.0;
    double exact_length = 0.0;
    for (size_t c = 0; c < sizes.size(); ++c) {
      const size_t i = static_cast<size_t>(t) * sizes.size() + c;
      const double a = double{found.values[i]} / sizes[c];
      const double b = double{exact.values[i]} / sizes[c];
      product += a * b;
      length += a * a;
      exact_length += b * b;
    }
    const double cosine = product / std::sqrt(length * exact_length);
    mean += cosine / static_cast<double>(exact.count);
    worst = std::min(worst, cosine);
  }
  std::printf("  %.6f mean %.6f worst", mean, worst);
}

void print_errors(const Tokens& found, const Tokens& exact) {
  std::printf("  cosine");
  const std::vector<double> ones(static_cast<size_t>(exact.width), 1.0);
  print_cosine(found, exact, ones);
  Tokens error = exact;
  for (size_t i = 0; i < error.values.size(); ++i) error.values[i] -= found.values[i];
  const std::vector<double> errors = channel_sizes(error);
  std::vector<double> sizes = channel_sizes(exact);
  std::vector<double> sorted = sizes;
  std::sort(sorted.begin(), sorted.end());
  const double usual = sorted[sorted.size() / 2];
  double worst = 0.0;
  for (size_t c = 0; c < sizes.size(); ++c) {
    sizes[c] = std::max(sizes[c], 0.01 * usual);  // a channel that says next to nothing
    worst = std::max(worst, errors[c] / sizes[c]);
  }
  std::printf("; of even channels");
  print_cosine(found, exact, sizes);
  std::printf("; worst channel %.3f", worst);
}

int run(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(
        stderr,
        "vision_bench CHECKPOINT SIDE [THREADS [REPETITIONS [all|fp32|bf16|int8 [ISA]]]]\n");
    return 1;
  }
  const std::string_view chosen = count > 5 ? arguments[5] : "all";
  if (const Status status = count > 6 ? select_isa(arguments[6]) : Status(); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.message.c_str());
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
    if (chosen != "all" && chosen != name) continue;
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
    peak = std::max(peak, peak_dot_operations());
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

// SPDX-License-Identifier: Apache-2.0
// Speed of a detector at each arithmetic, on one picture, and how its detections differ:
//   detect_bench WEIGHTS IMAGE [THREADS [REPETITIONS [fp32|bf16|int8]]]
// Repetitions of the arithmetics follow each other in turn. Times are of the clock, from the
// decoded picture to its boxes, and of the processor (all threads), which a busy machine disturbs
// less; then of the clock for the network alone, whose input lies ready. Peak memory is that of the
// whole program.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "base/cpu.h"
#include "base/stopwatch.h"
#include "detect/detector.h"
#include "detect/letterbox.h"
#include "image/decode.h"

namespace fastvlm {
namespace {

struct Run {
  const char* name;
  Detector detector;
  std::vector<double> seconds = {};
  std::vector<double> processor = {};
  std::vector<double> network = {};
  size_t found = 0;
};

double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

void print_times(const char* what, std::vector<double>& seconds) {
  std::sort(seconds.begin(), seconds.end());
  std::printf("%smedian %.2f ms, least %.2f ms  ", what, seconds[seconds.size() / 2] * 1e3,
              seconds.front() * 1e3);
}

int fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.message.c_str());
  return 2;
}

int run(int count, char** arguments) {
  if (count < 3) {
    std::fprintf(stderr, "detect_bench WEIGHTS IMAGE [THREADS [REPETITIONS [fp32|bf16|int8]]]\n");
    return 1;
  }
  ThreadPool pool(count > 3 ? std::atoi(arguments[3]) : 1);
  const int repetitions = std::max(count > 4 ? std::atoi(arguments[4]) : 20, 1);
  const auto image = load_image(arguments[2]);
  if (!image.ok()) return fail(image.status());
  const Letterbox plan = plan_letterbox(image->width, image->height, DetectOptions().size, false);
  const Image boxed = apply_letterbox(*image, plan);
  std::vector<float> input(boxed.rgb.begin(), boxed.rgb.end());
  for (float& value : input) value /= 255.0F;
  std::vector<Run> runs;
  for (const auto& [name, arithmetic] : {std::pair{"fp32", Arithmetic::kF32},
                                         {"bf16", Arithmetic::kBf16},
                                         {"int8", Arithmetic::kInt8}}) {
    if (count > 5 && std::string_view(arguments[5]) != name) continue;
    const auto weights = read_detector_weights(arguments[1]);
    if (!weights.ok()) return fail(weights.status());
    auto detector = Detector::load(*weights, pool, arithmetic);
    if (!detector.ok()) return fail(detector.status());
    runs.push_back({name, std::move(*detector)});
  }
  for (int i = -1; i < repetitions; ++i) {  // the first one warms up
    for (Run& r : runs) {
      const Stopwatch watch;
      const double start = processor_seconds();
      const auto found = r.detector.detect(*image, {}, pool);
      if (!found.ok()) return fail(found.status());
      if (i >= 0) {
        r.seconds.push_back(watch.seconds());
        r.processor.push_back(processor_seconds() - start);
      }
      r.found = found->size();
      const Stopwatch network_watch;
      r.detector.run(input.data(), plan.height, plan.width, pool, [](const HeadOutput&) {});
      if (i >= 0) r.network.push_back(network_watch.seconds());
    }
  }
  for (Run& r : runs) {
    std::printf("%s  ", r.name);
    print_times("", r.seconds);
    print_times("of processor: ", r.processor);
    print_times("network alone: ", r.network);
    std::printf("%zu objects\n", r.found);
  }
  std::printf("peak memory %s\n", megabytes(static_cast<double>(peak_resident_bytes())).c_str());
  return 0;
}

}  // namespace
}  // namespace fastvlm

int main(int count, char** arguments) {
  return fastvlm::run(count, arguments);
}

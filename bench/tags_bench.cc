// SPDX-License-Identifier: Apache-2.0
// Whether a detector had better run beside the vision tower than before it:
//   tags_bench MODEL WEIGHTS IMAGE [THREADS [REPETITIONS]]
// From the decoded picture, which both share, to its detections and tokens, in turn: one after the
// other on one team; the detector on one thread more than the team's; the same with the tower's
// team one smaller.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/stopwatch.h"
#include "caption/engine.h"
#include "detect/detector.h"
#include "image/decode.h"
#include "kernels/dot_matrix.h"

namespace fastvlm {
namespace {

struct Work {
  const Engine& engine;
  const Detector& detector;
  const Image& image;

  std::vector<Detection> detect(ThreadPool& pool) const {
    return *detector.detect(image, {}, pool);
  }
  Tokens encode(ThreadPool& pool) const {
    const Preprocessing& how = engine.preprocessing();
    const std::vector<float> pixels = to_floats(preprocess(image, how), how);
    const auto encoder = *engine.encoder(pool);
    return *encoder->tower.encode(pixels.data(), how.size, how.size, pool);
  }
};

struct Timing {
  const char* name;
  std::vector<double> seconds = {};
};

void beside(const Work& work, ThreadPool& tower_team, ThreadPool& alone) {
  std::thread detector([&] { work.detect(alone); });
  work.encode(tower_team);
  detector.join();
}

int fail(const Status& status) {
  std::fprintf(stderr, "%s\n", status.message.c_str());
  return 2;
}

int run(int count, char** arguments) {
  if (count < 4) {
    std::fprintf(stderr, "tags_bench MODEL WEIGHTS IMAGE [THREADS [REPETITIONS]]\n");
    return 1;
  }
  const int threads = count > 4 ? std::atoi(arguments[4]) : 2;
  const int repetitions = count > 5 ? std::atoi(arguments[5]) : 9;
  ThreadPool team(threads);
  ThreadPool smaller(std::max(threads - 1, 1));
  ThreadPool alone(1);
  const auto image = load_image(arguments[3]);
  if (!image.ok()) return fail(image.status());
  EngineOptions options;
  options.model = arguments[1];
  options.vision = fastest_arithmetic();
  const auto engine = Engine::load(options, team);
  if (!engine.ok()) return fail(engine.status());
  const auto weights = read_detector_weights(arguments[2]);
  if (!weights.ok()) return fail(weights.status());
  const auto detector = Detector::load(*weights, team, fastest_arithmetic());
  if (!detector.ok()) return fail(detector.status());
  const Work work{**engine, *detector, *image};
  Timing timings[] = {{"detector alone"},
                      {"tower alone"},
                      {"detector, then tower"},
                      {"detector beside the tower"},
                      {"detector beside a tower with one thread fewer"}};
  for (int i = -1; i < repetitions; ++i) {  // the first one warms up
    for (int how = 0; how < 5; ++how) {
      const Stopwatch watch;
      if (how == 0 || how == 2) work.detect(team);
      if (how == 1 || how == 2) work.encode(team);
      if (how == 3) beside(work, team, alone);
      if (how == 4) beside(work, smaller, alone);
      if (i >= 0) timings[how].seconds.push_back(watch.seconds());
    }
  }
  for (Timing& timing : timings) {
    std::sort(timing.seconds.begin(), timing.seconds.end());
    std::printf("%-46s median %8.2f ms, least %8.2f ms\n", timing.name,
                timing.seconds[timing.seconds.size() / 2] * 1e3, timing.seconds.front() * 1e3);
  }
  return 0;
}

}  // namespace
}  // namespace fastvlm

int main(int count, char** arguments) {
  return fastvlm::run(count, arguments);
}

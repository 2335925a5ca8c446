// SPDX-License-Identifier: Apache-2.0
#include "detect/detector.h"

#include <algorithm>
#include <cmath>

namespace fastvlm {
namespace {

constexpr int64_t kRowPixels = 640;  // that a thread copies at least

constexpr int kLargestInput = 8192;

float sigmoid(float x) {
  return 1.0F / (1.0F + std::exp(-x));
}

// Cells whose best class is likely enough. False when a number is not finite.
bool take_candidates(const HeadOutput& head, int64_t bins, const DetectOptions& options,
                     std::vector<BoxCandidate>& out) {
  const int64_t classes = head.scores.channels;
  for (int64_t cell = 0; cell < head.scores.pixels(); ++cell) {
    const float* const logits = head.scores.data + cell * classes;
    int64_t best = 0;
    bool finite = true;
    for (int64_t c = 0; c < classes; ++c) {
      finite = finite && std::isfinite(logits[c]);
      if (logits[c] > logits[best]) best = c;
    }
    if (!finite) return false;
    const float confidence = sigmoid(logits[best]);
    if (!(confidence > options.confidence)) continue;
    if (!options.classes.empty() &&
        std::find(options.classes.begin(), options.classes.end(), best) == options.classes.end()) {
      continue;
    }
    const int64_t row = cell / head.width();
    const int64_t column = cell % head.width();
    const Box box =
        decode_box(head.boxes.data + cell * 4 * bins, bins, static_cast<float>(column) + 0.5F,
                   static_cast<float>(row) + 0.5F, head.stride);
    if (!std::isfinite(box.x0 + box.y0 + box.x1 + box.y1)) return false;
    out.push_back({box, confidence, static_cast<int>(best)});
  }
  return true;
}

}  // namespace

Status check(const DetectOptions& options) {
  if (options.size < kDetectorStride || options.size > kLargestInput ||
      options.size % kDetectorStride != 0) {
    return error(Code::kUsage,
                 cat("size: expected a multiple of ", kDetectorStride, " from ", kDetectorStride,
                     " to ", kLargestInput, ", found ", options.size),
                 "640 is what YOLO detectors are trained with");
  }
  const auto fraction = [](float value) { return value >= 0.0F && value <= 1.0F; };
  if (!fraction(options.confidence) || !fraction(options.iou)) {
    return error(Code::kUsage, cat("confidence and IoU: expected numbers from 0 to 1, found ",
                                   options.confidence, " and ", options.iou));
  }
  return {};
}

Result<DetectorInput> detector_input(const Image& image, const DetectOptions& options) {
  FASTVLM_RETURN_IF_ERROR(check(options));
  const Letterbox plan = plan_letterbox(image.width, image.height, options.size, options.square);
  return DetectorInput{plan, apply_letterbox(image, plan), image.width, image.height};
}

struct Detector::State {
  // Memory of an earlier call, or new.
  std::unique_ptr<MapStore> take() {
    const std::lock_guard lock(mutex);
    if (idle.empty()) return std::make_unique<MapStore>();
    auto maps = std::move(idle.back());
    idle.pop_back();
    return maps;
  }
  void give_back(std::unique_ptr<MapStore> maps) {
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(maps));
  }

  YoloLayers layers;
  std::vector<std::string> names;
  std::string source;  // the weights' file
  Arithmetic arithmetic = Arithmetic::kF32;
  std::mutex mutex;
  std::vector<std::unique_ptr<MapStore>> idle;
};

Detector::Detector(std::unique_ptr<State> state) : state_(std::move(state)) {}
Detector::Detector(Detector&&) noexcept = default;
Detector& Detector::operator=(Detector&&) noexcept = default;
Detector::~Detector() = default;

Result<Detector> Detector::load(const DetectorWeights& weights, ThreadPool& pool,
                                Arithmetic arithmetic) {
  auto state = std::make_unique<State>();
  FASTVLM_ASSIGN(state->layers, read_yolo(weights, pool, arithmetic));
  const int64_t classes = state->layers.classes;
  const auto named = static_cast<int64_t>(weights.class_names.size());
  if (named != 0 && named != classes) {
    return error(Code::kInvalid,
                 cat(weights.source, ": names: expected ", classes,
                     " as the network has classes, found ", named),
                 "export the detector again; names and weights come from different models");
  }
  state->source = weights.source;
  state->arithmetic = arithmetic;
  state->names = weights.class_names;
  if (state->names.empty() && classes == static_cast<int64_t>(coco_names().size())) {
    state->names = coco_names();
  }
  state->names.resize(static_cast<size_t>(classes));
  for (size_t i = 0; i < state->names.size(); ++i) {
    std::string& name = state->names[i];
    name = printable(trimmed(name));  // they stand in prompts, a line each
    if (name.empty()) name = cat("class ", i);
  }
  return Detector(std::move(state));
}

const std::string& Detector::kind() const {
  return state_->layers.kind;
}
int64_t Detector::parameters() const {
  return state_->layers.parameters;
}
const std::vector<std::string>& Detector::names() const {
  return state_->names;
}
Arithmetic Detector::arithmetic() const {
  return state_->arithmetic;
}

int Detector::class_id(std::string_view name) const {
  const auto found = std::find(state_->names.begin(), state_->names.end(), name);
  return found == state_->names.end() ? -1 : static_cast<int>(found - state_->names.begin());
}

void Detector::run(const float* pixels, int64_t height, int64_t width, ThreadPool& pool,
                   const TakeHeadOutput& take) const {
  auto maps = state_->take();
  OwnedMap input(*maps, height, width, 3);
  pool.parallel_for(height * width, kRowPixels, [&](int64_t begin, int64_t end) {
    std::copy(pixels + 3 * begin, pixels + 3 * end, input->data + 3 * begin);
  });
  run_yolo(state_->layers, std::move(input), *maps, pool, take);
  state_->give_back(std::move(maps));
}

Result<std::vector<Detection>> Detector::detect(const Image& image, const DetectOptions& options,
                                                ThreadPool& pool) const {
  FASTVLM_ASSIGN(const DetectorInput input, detector_input(image, options));
  return detect(input, options, pool);
}

Result<std::vector<Detection>> Detector::detect(const DetectorInput& input,
                                                const DetectOptions& options,
                                                ThreadPool& pool) const {
  FASTVLM_RETURN_IF_ERROR(check(options));
  auto maps = state_->take();
  OwnedMap pixels(*maps, input.plan.height, input.plan.width, 3);
  network_input(input.pixels, pixels->data, pool);
  std::vector<BoxCandidate> candidates;
  bool finite = true;
  run_yolo(state_->layers, std::move(pixels), *maps, pool, [&](const HeadOutput& head) {
    finite = finite && take_candidates(head, state_->layers.bins, options, candidates);
  });
  state_->give_back(std::move(maps));
  if (!finite) {
    return error(Code::kInvalid, cat(state_->source, ": the output of ", kind(), " is not finite"),
                 "the weights are damaged; fetch them again");
  }
  std::vector<Detection> detections;
  for (const BoxCandidate& kept : suppress(std::move(candidates), options.iou, options.most)) {
    detections.push_back({kept.class_id, names()[static_cast<size_t>(kept.class_id)],
                          kept.confidence,
                          box_in_picture(kept.box, input.plan, input.width, input.height)});
  }
  return detections;
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Which objects a picture shows, and where. Goals: the boxes of Ultralytics' own program for the
// same weights. Non-goals: tracking, masks, batches.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "detect/boxes.h"
#include "detect/letterbox.h"
#include "detect/network.h"
#include "formats/detector_weights.h"
#include "image/image.h"
#include "kernels/precision.h"

namespace fastvlm {

// An object in pixels of the picture, inside it.
struct Detection {
  int class_id = 0;
  std::string label;
  float confidence = 0.0F;  // 0..1
  Box box;
};

struct DetectOptions {
  float confidence = 0.25F;  // more than that
  float iou = 0.7F;          // boxes of a class that overlap more are one object
  int size = 640;            // of the input's longer side, a multiple of 32
  bool square = false;       // the input is size x size, however long the picture
  size_t most = 300;
  std::vector<int> classes;  // only these; empty: all
};

Status check(const DetectOptions& options);

// All that a detector needs of a picture.
struct DetectorInput {
  Letterbox plan;
  Image pixels;   // letterboxed
  int width = 0;  // of the picture
  int height = 0;
};

// kUsage: options out of range.
Result<DetectorInput> detector_input(const Image& image, const DetectOptions& options);

class Detector {
 public:
  static Result<Detector> load(const DetectorWeights& weights, ThreadPool& pool,
                               Arithmetic arithmetic = Arithmetic::kF32);

  Detector(Detector&&) noexcept;
  Detector& operator=(Detector&&) noexcept;
  ~Detector();

  const std::string& kind() const;                // "YOLO11n"
  int64_t parameters() const;                     // with BatchNorms folded
  const std::vector<std::string>& names() const;  // by class id
  int class_id(std::string_view name) const;      // -1 when there is none of that name
  Arithmetic arithmetic() const;

  // In falling confidence. Several calls may run at once, each with its own pool. The result does
  // not depend on the number of threads. kInvalid: the network's numbers are not finite.
  Result<std::vector<Detection>> detect(const Image& image, const DetectOptions& options,
                                        ThreadPool& pool) const;
  // The same for a picture that was prepared with these options and need not be there any more.
  Result<std::vector<Detection>> detect(const DetectorInput& input, const DetectOptions& options,
                                        ThreadPool& pool) const;

  // The network alone: pixels [height, width, 3], RGB 0..1; 32 divides both sides.
  void run(const float* pixels, int64_t height, int64_t width, ThreadPool& pool,
           const TakeHeadOutput& take) const;

 private:
  struct State;
  explicit Detector(std::unique_ptr<State> state);

  std::unique_ptr<State> state_;
};

// The names of COCO's 80 kinds of object, in the order of class ids.
const std::vector<std::string>& coco_names();

// COCO's own number (1 .. 90, with gaps) of a class id 0 .. 79.
int coco_category(int class_id);

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// The detection networks YOLO11 and YOLOv8: their layers, and the walk of a picture through them.
// Goals: depth and widths are read from the names and shapes of the tensors, so that n, s, m, l and
// x are one code; BatchNorms folded or not; any input whose sides 32 divides. Non-goals: other
// tasks (masks, poses), other generations, training.
//
// Both share one plan. P3, P4 and P5 are maps at 1/8, 1/16 and 1/32 of the input's sides:
//   backbone  conv, then four times conv (stride 2) and a CSP block; SPPF; YOLO11: C2PSA
//   neck      P5 up, with P4: CSP; up, with P3: CSP -> out 3; down, with P4: CSP -> out 4; down,
//             with P5: CSP -> out 5
//   head      for each of the three: box branch and class branch
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "detect/maps.h"
#include "formats/detector_weights.h"
#include "kernels/convolution.h"
#include "kernels/precision.h"
#include "kernels/spatial_convolution.h"
#include "kernels/winograd.h"

namespace fastvlm {

// A 1x1 convolution: [outputs, inputs].
struct PointwiseConvolution {
  std::variant<Matrix, DotMatrix> weights;
  std::vector<float> bias;
};

// A convolution with its BatchNorm folded in, and what follows it.
struct ConvLayer {
  std::variant<PointwiseConvolution, SpatialConvolution, WinogradConvolution, DepthwiseConvolution>
      conv;
  int stride = 1;
  int64_t channels_in = 0;
  int64_t channels_out = 0;
  Activation activation = Activation::kSilu;
};

// cv2(cv1(x)), plus x where the widths allow it and the network wants it.
struct Bottleneck {
  ConvLayer cv1;
  ConvLayer cv2;
  bool adds = false;
};

// cv3([bottlenecks(cv1(x)), cv2(x)])
struct InnerCsp {
  ConvLayer cv1;
  ConvLayer cv2;
  ConvLayer cv3;
  std::vector<Bottleneck> blocks;
};

// C2f and C3k2: cv1's outputs in halves; each block works on what the one before it gave; cv2 reads
// them all.
struct CspBlock {
  ConvLayer cv1;
  ConvLayer cv2;
  int64_t hidden = 0;
  std::vector<std::variant<Bottleneck, InnerCsp>> blocks;
};

// cv2 of cv1's output and three max poolings of it, each of the one before.
struct PoolingPyramid {
  ConvLayer cv1;
  ConvLayer cv2;
};

// Attention over all pixels. Queries and keys are half as wide as values; zeros fill their heads up
// to the values' width, so that one attention kernel serves.
struct PixelAttention {
  int64_t heads = 0;
  PointwiseConvolution queries_keys;  // [2 * channels, channels]: all queries, then all keys
  PointwiseConvolution values;        // [channels, channels]
  ConvLayer position;                 // depthwise, of the values
  ConvLayer projection;
};

struct AttentionBlock {
  PixelAttention attention;
  ConvLayer up;
  ConvLayer down;
};

// C2PSA: cv1's outputs in halves, the second through the blocks; cv2 reads both.
struct AttentionStage {
  ConvLayer cv1;
  ConvLayer cv2;
  std::vector<AttentionBlock> blocks;
};

// A convolution of stride 2 and the block after it.
struct DownStage {
  ConvLayer down;
  CspBlock csp;
};

struct HeadBranches {
  std::vector<ConvLayer> box;      // -> 4 * bins
  std::vector<ConvLayer> classes;  // -> classes
};

struct YoloLayers {
  ConvLayer stem;
  std::array<DownStage, 4> backbone;
  PoolingPyramid pyramid;
  std::optional<AttentionStage> attention;
  std::array<CspBlock, 2> top_down;
  std::array<DownStage, 2> bottom_up;
  std::array<HeadBranches, 3> head;

  // Facts about the above.
  int64_t bins = 16;
  int64_t classes = 0;
  int64_t parameters = 0;  // of convolutions as they are run: weights and biases
  std::string kind;        // "YOLO11n"
};

// Checks and packs the tensors. A tensor that is missing, of the wrong shape or unknown to this
// family is an error. Products compute with `arithmetic`, except where rounding shows most: the
// first convolution and the last of each branch stay at f32, and at int8 narrow ones at bf16.
Result<YoloLayers> read_yolo(const DetectorWeights& weights, ThreadPool& pool,
                             Arithmetic arithmetic);

// What the head says of one of its three grids, of 1/8, 1/16 and 1/32 of the input.
struct HeadOutput {
  int stride = 0;  // input pixels a cell
  Map boxes;       // [height, width, 4 * bins]: logits of left, top, right, bottom distance
  Map scores;      // [height, width, classes]: logits

  int64_t height() const { return boxes.height; }
  int64_t width() const { return boxes.width; }
};

// Called for each grid in turn, the finest first; its maps are whole, and gone afterwards.
using TakeHeadOutput = std::function<void(const HeadOutput& output)>;

// `pixels` [height, width, 3], RGB 0..1; 32 divides both sides. All maps come from `store`, from
// which `pixels` are too: their memory is used again. The result does not depend on the number of
// threads.
void run_yolo(const YoloLayers& layers, OwnedMap pixels, MapStore& store, ThreadPool& pool,
              const TakeHeadOutput& take);

}  // namespace fastvlm

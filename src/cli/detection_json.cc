// SPDX-License-Identifier: Apache-2.0
#include "cli/detection_json.h"

#include <cmath>

#include "caption/caption_json.h"

namespace fastvlm::cli {
namespace {

using Json = nlohmann::ordered_json;

Json detection_json(const Detection& d) {
  return {
      {"class_id", d.class_id},
      {"label", d.label},
      {"confidence", rounded(d.confidence, 5)},
      {"box_xyxy",
       {rounded(d.box.x0, 2), rounded(d.box.y0, 2), rounded(d.box.x1, 2), rounded(d.box.y1, 2)}}};
}

}  // namespace

double rounded(double value, int places) {
  const double factor = std::pow(10.0, places);
  return std::round(value * factor) / factor;
}

Json detections_json(const std::vector<Detection>& detections, const DetectorInput& input,
                     const LoadedDetector& loaded, const DetectOptions& options,
                     const std::string& name) {
  Json list = Json::array();
  for (const Detection& d : detections) list.push_back(detection_json(d));
  Json names = Json::array();
  for (const int id : options.classes) {
    names.push_back(loaded.detector.names()[static_cast<size_t>(id)]);
  }
  return {{"image", name},
          {"width", input.width},
          {"height", input.height},
          {"detections", std::move(list)},
          {"provenance",
           {{"program", cat("fastvlm ", program_version())},
            {"detector", loaded.detector.kind()},
            {"weights", loaded.file},
            {"weights_sha256", loaded.sha256},
            {"precision", arithmetic_name(loaded.detector.arithmetic())},
            {"confidence", rounded(options.confidence, 5)},
            {"iou", rounded(options.iou, 5)},
            {"size", options.size},
            {"square", options.square},
            {"classes", options.classes.empty() ? Json() : std::move(names)}}}};
}

}  // namespace fastvlm::cli

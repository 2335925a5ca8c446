// SPDX-License-Identifier: Apache-2.0
#include "cli/tag_source.h"

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "caption/detected_tags.h"
#include "cli/console.h"

namespace fastvlm::cli {

TagSource::TagSource() {
  // Those of the app whose prompts the captions model was trained with.
  options_.confidence = 0.5F;
  options_.iou = 0.5F;
}

void TagSource::add_to(CLI::App& command) {
  command.add_option("--tags", listed_.tags,
                     "Objects to mention: auto (a detector's), none, \"person (left), dog\" or a "
                     "file [auto]");
  add_detector_to(command);
}

void TagSource::add_detector_to(CLI::App& command) {
  command.add_option("--detector", detector_name_,
                     "YOLO weights for tags: file or pulled name [yolo11n, if pulled]");
  command
      .add_option("--tag-confidence", options_.confidence, "Least confidence of a detector's tag")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      .add_option("--tag-iou", options_.iou, "Boxes of a class that overlap more are one object")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command.add_flag("--tag-counts", counts_, "One tag for equal ones, with their number");
}

bool TagSource::known() const {
  if (automatic()) return !detector_name_.empty() || pulled_detector().has_value();
  return listed_.tags != "none";
}

Status TagSource::prepare(const ModelFlags& model, ThreadPool& pool) {
  if (!automatic()) {
    // Whoever lists tags is taken to know all kinds.
    if (known()) knowable_ = std::make_shared<const ObjectKinds>(all_object_kinds());
    if (detector_name_.empty()) return {};
    return error(Code::kUsage,
                 cat("--detector ", detector_name_, ": --tags ", listed_.tags, " does not use it"),
                 "leave one of the two out");
  }
  if (detector_name_.empty() && !pulled_detector()) {
    if (!listed_.tags.empty()) {
      note("no detector, so no tags: give one with --detector FILE, or run `fastvlm pull yolo11n`");
    }
    return {};
  }
  FASTVLM_ASSIGN(const auto path, find_detector(detector_name_, "--detector"));
  FASTVLM_ASSIGN(loaded_, load_detector(path, model.arithmetic(), pool));
  knowable_ = std::make_shared<const ObjectKinds>(kinds_known_by(loaded_->detector.names()));
  return {};
}

Result<std::string> TagSource::description() const {
  if (loaded_) {
    return cat(loaded_->detector.kind(), " ", loaded_->sha256, ", ",
               arithmetic_name(loaded_->detector.arithmetic()), ", confidence ",
               options_.confidence, ", iou ", options_.iou, ", size ", options_.size,
               counts_ ? ", counted" : "");
  }
  if (automatic()) return std::string("none");
  std::error_code ignored;
  if (!std::filesystem::exists(listed_.tags, ignored)) return listed_.tags;
  FASTVLM_ASSIGN(const std::string content, read_text_file(listed_.tags));
  return cat("a file, sha256 ", sha256_hex(content));
}

Status TagSource::tag(const Image& image, ThreadPool& pool, CaptionRequest& request) const {
  request.knowable = knowable_;
  if (!loaded_) {
    if (listed_.tags == "auto") return {};
    FASTVLM_ASSIGN(request.tags, listed_.read_tags(image.width));
    return {};
  }
  FASTVLM_ASSIGN(const auto detections, loaded_->detector.detect(image, options_, pool));
  request.tags = tags_of(detections, image.width, counts_);
  request.tagged_by = TagDetector{
      loaded_->detector.kind(), loaded_->file, loaded_->sha256, loaded_->detector.arithmetic(),
      options_.confidence,      options_.iou,  options_.size,   counts_};
  return {};
}

}  // namespace fastvlm::cli

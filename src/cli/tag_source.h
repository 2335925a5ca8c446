// SPDX-License-Identifier: Apache-2.0
// Where the tags of a caption come from: --tags auto|none|FILE|LIST, --detector and its settings.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "caption/caption.h"
#include "cli/find_detector.h"
#include "cli/flags.h"

namespace fastvlm::cli {

class TagSource {
 public:
  TagSource();

  void add_to(CLI::App& command);
  void add_detector_to(CLI::App& command);  // all but --tags, which is auto then
  // Whether there will be tags, be it none for a picture: a detector or a list.
  bool known() const;
  // Loads the detector where one is wanted; call once, before tag(). Without weights `auto` means
  // no tags, with a note when it was asked for.
  Status prepare(const ModelFlags& model, ThreadPool& pool);
  const std::optional<LoadedDetector>& detector() const { return loaded_; }
  // What the tags of all pictures depend on, for a journal. Call after prepare().
  Result<std::string> description() const;
  const std::string& listed() const { return listed_.tags; }  // what --tags says
  // Sets the request's tags, where they come from, and what their source can know. `image` is
  // upright.
  Status tag(const Image& image, ThreadPool& pool, CaptionRequest& request) const;

 private:
  bool automatic() const { return listed_.tags.empty() || listed_.tags == "auto"; }

  PromptFlags listed_;  // what --tags says, when it is not auto
  std::string detector_name_;
  DetectOptions options_;
  bool counts_ = false;
  std::optional<LoadedDetector> loaded_;
  std::shared_ptr<const ObjectKinds> knowable_;
};

}  // namespace fastvlm::cli

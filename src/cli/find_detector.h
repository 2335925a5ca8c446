// SPDX-License-Identifier: Apache-2.0
// Which detector is meant, and loading it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/thread_pool.h"
#include "detect/detector.h"

namespace fastvlm::cli {

// Weights that `fastvlm pull` has fetched: the first there is of yolo11n, s, m, l, x.
std::optional<std::filesystem::path> pulled_detector();

// `name` is a file, or the name of a pulled detector. Empty: what pulled_detector() finds.
// `option` stands in messages ("--weights").
Result<std::filesystem::path> find_detector(const std::string& name, const std::string& option);

struct LoadedDetector {
  Detector detector;
  std::string file;    // its name, without folders
  std::string sha256;  // of the file
};

// No arithmetic: the fastest of this machine.
Result<LoadedDetector> load_detector(const std::filesystem::path& path,
                                     std::optional<Arithmetic> arithmetic, ThreadPool& pool);

}  // namespace fastvlm::cli

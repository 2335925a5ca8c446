// SPDX-License-Identifier: Apache-2.0
// The JSON header of a safetensors file, read as a stream: memory stays proportional to the
// header, and anything but the three known fields of a tensor is refused where it stands.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct HeaderEntry {
  std::string dtype;  // as written, not yet known to be one of ours
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // data_offsets, not yet known to lie inside the file
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, HeaderEntry> tensors;
  std::map<std::string, std::string> metadata;
};

Result<SafetensorsHeader> parse_safetensors_header(std::string_view json, std::string_view label);

}  // namespace fastvlm

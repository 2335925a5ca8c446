// SPDX-License-Identifier: Apache-2.0
// Class names as Ultralytics writes them into metadata: the text of a Python dict or list.
// Internal to formats/.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

inline constexpr size_t kMostClasses = 100'000;  // the largest published detectors have some 20,000

// "{0: 'person', 1: \"driver's mate\"}" or "['person', 'car']" -> names by class id. Nothing else
// of Python's literals is understood: an error that begins with `where`.
Result<std::vector<std::string>> parse_python_names(std::string_view text, std::string_view where);

// Names by class id, which must be 0 .. n - 1.
Result<std::vector<std::string>> dense_names(const std::map<int64_t, std::string>& by_id,
                                             std::string_view where);

}  // namespace fastvlm

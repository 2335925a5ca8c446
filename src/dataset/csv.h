// SPDX-License-Identifier: Apache-2.0
// Comma-separated values as RFC 4180 has them: fields in quotes may hold commas, line ends and
// doubled quotes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct CsvRow {
  int64_t line = 1;  // where it begins
  std::vector<std::string> fields;
};

// The rows that are not empty. kInvalid: a quote that does not end, or text behind one that does;
// `name` stands in the message.
Result<std::vector<CsvRow>> parse_csv(std::string_view text, const std::string& name);

}  // namespace fastvlm

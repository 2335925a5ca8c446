// SPDX-License-Identifier: Apache-2.0
// Bytes as text (RFC 4648, section 4).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace fastvlm {

std::string base64(std::span<const std::byte> bytes);

// The bytes, as a string. Blanks and line ends between the digits are skipped (tools break lines);
// none: anything else that is no digit, a length that cannot be, padding that is missing or stands
// elsewhere than at the end.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace fastvlm

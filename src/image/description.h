// SPDX-License-Identifier: Apache-2.0
// The description inside a picture's file: dc:description of its XMP (ISO 16684-1), where photo
// programs look for it. Goals: JPEG and PNG; everything else in the file stays byte for byte, and
// everything else in its XMP stays. Non-goals: EXIF's and IPTC's captions, files beside a picture
// (caption/xmp.h).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fastvlm {

// False in builds without libexempi (FASTVLM_WITH_EXEMPI=OFF), where all below is kUnsupported.
bool can_write_descriptions();

// kUnsupported: this kind of file holds no XMP, or none that this program can change. `name` stands
// in messages, here and below.
Status check_describable(std::span<const std::byte> file, const std::string& name);

// `text` as a description can hold it: XML knows no control characters but tab and line feed.
std::string as_description(std::string_view text);

// The description in the default language; none: there is none, or it is blank. kInvalid: the file
// is damaged.
Result<std::optional<std::string>> read_description(std::span<const std::byte> file,
                                                    const std::string& name);

// The whole file with this description in the place of the one that was there. kLimit: too long for
// a JPEG, which has room for 64 KB. kUnsupported: something else that the XMP holds would be lost.
Result<std::string> with_description(std::span<const std::byte> file, std::string_view description,
                                     const std::string& name);

}  // namespace fastvlm

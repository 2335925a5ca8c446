// SPDX-License-Identifier: Apache-2.0
// XMP sidecars (ISO 16684-1): a caption as the picture's description, dc:description, where photo
// programs look for it. Goals: the least file that they read. Non-goals: changing metadata that
// others wrote.
#pragma once

#include <string>
#include <string_view>

namespace fastvlm {

// A whole XMP packet. Characters that XML cannot hold are left out.
std::string xmp_packet(std::string_view description);

// Was this file written by xmp_packet()? Others hold ratings, edits, places.
bool is_our_xmp(std::string_view file);

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Where the XMP packet of a JPEG or PNG stands, and putting another in its place. Internal to this
// room. Lengths in the file are never trusted.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fastvlm::xmp {

// A part of a file that holds the packet, or will hold it.
struct PacketPlace {
  size_t begin = 0;    // of the segment or chunk, to be replaced as a whole
  size_t end = 0;      // the same: there is none yet, and this is where it belongs
  std::string packet;  // its text; empty: none
};

// kUnsupported: neither JPEG nor PNG, or a form that is not changed here. kInvalid: damaged.
Result<PacketPlace> find_packet(std::string_view file, const std::string& name);

// A segment or chunk for this file that holds `packet`. kLimit: too long for it.
Result<std::string> wrap_packet(std::string_view file, std::string_view packet,
                                const std::string& name);

// A packet that the XMP library can be given: it recurses through elements, and reading texts takes
// time by their square. kLimit otherwise.
Status check_packet(std::string_view packet, const std::string& name);

// What description_exempi.cc does with packets.
struct Description {
  bool there = false;
  std::string text;
};
Result<Description> description_in(std::string_view packet, const std::string& name);
// `packet` may be empty.
Result<std::string> packet_with(std::string_view packet, std::string_view description,
                                const std::string& name);

}  // namespace fastvlm::xmp

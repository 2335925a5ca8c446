// SPDX-License-Identifier: Apache-2.0
// Checks that libheif 1.15 leaves out; internal to this room.
#pragma once

#include "base/result.h"
#include "image/codec.h"

namespace fastvlm::codec {

// A HEIF file holds several pictures, and one may be derived from others: a grid of tiles, a turned
// copy, colours with an alpha plane (ISO/IEC 23008-12, 6.4 and 6.6). Errors where the derivations
// go in a circle, lead to a picture that is not there, are nested deeper or need more pictures than
// any camera writes, where a grid or an overlay has more pixels than allowed, or where the boxes
// that tell are malformed. libheif follows them without looking: for a grid that is its own tile it
// starts threads until the system refuses, a picture that is not there ends the program, and 479
// bytes can ask for 4 GB.
Status check_structure(const Input& input);

}  // namespace fastvlm::codec

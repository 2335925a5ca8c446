// SPDX-License-Identifier: Apache-2.0
// The one EXIF tag that matters here: which way is up.
#pragma once

#include <cstddef>
#include <span>

#include "image/image.h"

namespace fastvlm {

// The orientation tag (0x0112) of a TIFF block, with or without the "Exif\0\0" that JPEG puts
// before it. 1 (upright) when the block is damaged, has no such tag, or the value is not 1..8.
int exif_orientation(std::span<const std::byte> block);

// Turns a stored picture upright: 2 mirrored, 3 half a turn, 4 upside down mirrored, 5 transposed,
// 6 a quarter clockwise, 7 transversed, 8 a quarter counter-clockwise; 1 is returned as it is.
Image oriented(Image stored, int orientation);

}  // namespace fastvlm

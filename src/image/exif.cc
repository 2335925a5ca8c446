// SPDX-License-Identifier: Apache-2.0
#include "image/exif.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

namespace fastvlm {
namespace {

constexpr uint32_t kOrientationTag = 0x0112;
constexpr uint32_t kTypeShort = 3;

// Integers of a TIFF block in its own byte order; reads beyond the end give nothing.
class TiffReader {
 public:
  TiffReader(std::span<const std::byte> block, bool little_endian)
      : block_(block), little_endian_(little_endian) {}

  std::optional<uint32_t> u16(size_t at) const { return integer(at, 2); }
  std::optional<uint32_t> u32(size_t at) const { return integer(at, 4); }

 private:
  std::optional<uint32_t> integer(size_t at, size_t bytes) const {
    if (at > block_.size() || block_.size() - at < bytes) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; ++i) {
      const size_t significant = little_endian_ ? bytes - 1 - i : i;
      value = value << 8 | std::to_integer<uint32_t>(block_[at + significant]);
    }
    return value;
  }

  std::span<const std::byte> block_;
  bool little_endian_;
};

bool begins_with(std::span<const std::byte> block, const char* prefix, size_t size) {
  return block.size() >= size && std::memcmp(block.data(), prefix, size) == 0;
}

}  // namespace

int exif_orientation(std::span<const std::byte> block) {
  if (begins_with(block, "Exif\0\0", 6)) block = block.subspan(6);
  const bool little_endian = begins_with(block, "II*\0", 4);
  if (!little_endian && !begins_with(block, "MM\0*", 4)) return 1;
  const TiffReader tiff(block, little_endian);
  const auto directory = tiff.u32(4);
  if (!directory) return 1;
  const auto count = tiff.u16(*directory);
  if (!count) return 1;
  for (uint32_t i = 0; i < *count; ++i) {
    // An entry: tag u16, type u16, count u32, then the value itself when it fits four bytes.
    const size_t entry = size_t{*directory} + 2 + size_t{i} * 12;
    const auto tag = tiff.u16(entry);
    if (!tag) return 1;
    if (*tag != kOrientationTag) continue;
    const auto value = tiff.u16(entry + 8);
    const bool usable = tiff.u16(entry + 2) == kTypeShort && value && *value >= 1 && *value <= 8;
    return usable ? static_cast<int>(*value) : 1;
  }
  return 1;
}

Image oriented(Image stored, int orientation) {
  if (orientation <= 1 || orientation > 8) return stored;
  const bool swaps_sides = orientation >= 5;
  const bool flips_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool flips_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image upright = swaps_sides ? blank_image(stored.height, stored.width)
                              : blank_image(stored.width, stored.height);
  // Where the upright picture's first pixel is stored, and how far its neighbours to the right and
  // below are from there, in bytes.
  const auto row = static_cast<ptrdiff_t>(stored.stride());
  const ptrdiff_t along_x = flips_x ? -3 : 3;
  const ptrdiff_t along_y = flips_y ? -row : row;
  const uint8_t* first = stored.row(flips_y ? stored.height - 1 : 0) + (flips_x ? row - 3 : 0);
  const ptrdiff_t right = swaps_sides ? along_y : along_x;
  const ptrdiff_t below = swaps_sides ? along_x : along_y;
  // In tiles, so that the stored rows stay in the cache while the walk goes across them.
  constexpr int kTile = 32;
  for (int top = 0; top < upright.height; top += kTile) {
    for (int left = 0; left < upright.width; left += kTile) {
      const int end = std::min(left + kTile, upright.width);
      for (int y = top; y < std::min(top + kTile, upright.height); ++y) {
        uint8_t* out = upright.row(y) + static_cast<size_t>(left) * 3;
        const uint8_t* in = first + y * below + left * right;
        for (int x = left; x < end; ++x, out += 3, in += right) std::memcpy(out, in, 3);
      }
    }
  }
  return upright;
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Windows bitmaps, the kinds that programs write today: 8-bit palette, 24-bit and 32-bit,
// uncompressed. Everything in the file is little-endian.
#include <cstdlib>
#include <optional>

#include "image/codec.h"

namespace fastvlm::codec {
namespace {

struct Header {
  int64_t width = 0;
  int64_t height = 0;
  bool bottom_up = true;  // a negative height in the file says otherwise
  uint32_t bits = 0;      // of a pixel
  uint32_t compression = 0;
  size_t palette = 0;  // where it begins: four bytes a colour, blue first
  size_t pixels = 0;   // where they begin; rows are padded to four bytes
};

uint32_t little_endian(std::span<const std::byte> bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | std::to_integer<uint32_t>(bytes[at + i]);
  return value;
}

// File header of 14 bytes, then an information header of at least 40.
std::optional<Header> read_header(std::span<const std::byte> bytes) {
  constexpr size_t kFileHeader = 14;
  constexpr uint32_t kInfoHeader = 40;
  if (bytes.size() < kFileHeader + kInfoHeader) return std::nullopt;
  const uint32_t info_size = little_endian(bytes, kFileHeader, 4);
  if (info_size < kInfoHeader) return std::nullopt;
  Header header;
  header.width = static_cast<int32_t>(little_endian(bytes, 18, 4));
  const int64_t height = static_cast<int32_t>(little_endian(bytes, 22, 4));
  header.height = std::abs(height);
  header.bottom_up = height > 0;
  header.bits = little_endian(bytes, 28, 2);
  header.compression = little_endian(bytes, 30, 4);
  header.palette = kFileHeader + info_size;
  header.pixels = little_endian(bytes, 10, 4);
  return header;
}

// Plain pixels, or 32-bit ones whose masks say what plain pixels are: blue, green, red, unused.
bool is_plain(const Header& header, std::span<const std::byte> bytes) {
  constexpr uint32_t kNone = 0;
  constexpr uint32_t kBitFields = 3;
  if (header.compression == kNone) {
    return header.bits == 8 || header.bits == 24 || header.bits == 32;
  }
  return header.compression == kBitFields && header.bits == 32 && bytes.size() >= 66 &&
         little_endian(bytes, 54, 4) == 0xFF0000 && little_endian(bytes, 58, 4) == 0xFF00 &&
         little_endian(bytes, 62, 4) == 0xFF;
}

void copy_row(std::span<const std::byte> row, std::span<const std::byte> palette, uint32_t bits,
              uint8_t* out) {
  const size_t step = bits / 8;
  for (size_t at = 0; at + step <= row.size(); at += step, out += 3) {
    const std::byte* colour =
        bits == 8 ? palette.data() + std::to_integer<size_t>(row[at]) * 4 : row.data() + at;
    for (size_t c = 0; c < 3; ++c) out[c] = std::to_integer<uint8_t>(colour[2 - c]);
  }
}

}  // namespace

Result<DecodedPicture> decode_bmp(const Input& input) {
  const auto bytes = input.bytes;
  const auto header = read_header(bytes);
  if (!header)
    return damaged(input, ImageFormat::kBmp, "the header is incomplete or of a 1980s kind");
  FASTVLM_RETURN_IF_ERROR(check_size(input, header->width, header->height));
  if (!is_plain(*header, bytes)) {
    return error(Code::kUnsupported,
                 cat(input.name, ": a BMP picture of ", header->bits, " bits a pixel, compression ",
                     header->compression, "; only plain 8, 24 and 32 bits are read"),
                 "convert it to PNG first");
  }
  const size_t used = static_cast<size_t>(header->width) * (header->bits / 8);
  const size_t stride = (used + 3) / 4 * 4;
  const size_t size = stride * static_cast<size_t>(header->height);
  // A short palette is fine as long as four bytes for each of 256 colours can be read.
  const size_t palette_size = header->bits == 8 ? 256 * 4 : 0;
  if (header->pixels > bytes.size() || bytes.size() - header->pixels < size ||
      header->palette > bytes.size() || bytes.size() - header->palette < palette_size) {
    return damaged(input, ImageFormat::kBmp,
                   cat("expected ", size, " bytes of pixels at byte ", header->pixels,
                       ", found a file of ", bytes.size(), " bytes"));
  }
  DecodedPicture decoded;
  decoded.image = blank_image(static_cast<int>(header->width), static_cast<int>(header->height));
  for (int y = 0; y < decoded.image.height; ++y) {
    const int stored = header->bottom_up ? decoded.image.height - 1 - y : y;
    copy_row(bytes.subspan(header->pixels + static_cast<size_t>(stored) * stride, used),
             bytes.subspan(header->palette, palette_size), header->bits, decoded.image.row(y));
  }
  return decoded;
}

}  // namespace fastvlm::codec

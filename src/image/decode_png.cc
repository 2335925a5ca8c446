// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <array>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "image/codec.h"
#include "image/exif.h"

namespace fastvlm::codec {
namespace {

constexpr size_t kSignature = 8;  // bytes before the first chunk

uint32_t big_endian(std::span<const std::byte> bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | std::to_integer<uint32_t>(bytes[at + i]);
  return value;
}

// The orientation of the eXIf chunk. Chunks are: length u32, name, data, checksum u32.
int chunk_orientation(std::span<const std::byte> bytes) {
  size_t at = kSignature;
  while (bytes.size() - at >= 12) {
    const size_t length = big_endian(bytes, at);
    if (length > bytes.size() - at - 12) return 1;
    if (std::memcmp(bytes.data() + at + 4, "eXIf", 4) == 0) {
      return exif_orientation(bytes.subspan(at + 8, length));
    }
    at += 12 + length;
  }
  return 1;
}

// libpng leaves by longjmp, which skips destructors. So every call runs inside guarded(), in a step
// that owns nothing.
class PngReader {
 public:
  explicit PngReader(const Input& input) : input_(input), rest_(input.bytes) {}
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png_, &info_, nullptr); }

  Result<DecodedPicture> read();

 private:
  template <typename Step>
  [[gnu::noinline]] bool guarded(const Step& step) {
    if (setjmp(jump_) != 0) return false;
    step();
    return true;
  }
  [[noreturn]] static void on_error(png_structp png, png_const_charp message);
  static void on_warning(png_structp, png_const_charp) {}
  static void on_read(png_structp png, png_bytep out, size_t count);

  bool open();  // reads up to the pixels and asks for 8-bit RGB
  bool read_pixels(Image& image);
  Status failure() const { return damaged(input_, ImageFormat::kPng, message_.data()); }

  const Input& input_;
  std::span<const std::byte> rest_;  // not yet read
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  jmp_buf jump_;
  std::array<char, 128> message_{};
};

void PngReader::on_error(png_structp png, png_const_charp message) {
  auto* self = static_cast<PngReader*>(png_get_error_ptr(png));
  std::snprintf(self->message_.data(), self->message_.size(), "%s", message);
  std::longjmp(self->jump_, 1);
}

void PngReader::on_read(png_structp png, png_bytep out, size_t count) {
  auto* self = static_cast<PngReader*>(png_get_io_ptr(png));
  if (count > self->rest_.size()) png_error(png, "unexpected end of file");
  std::memcpy(out, self->rest_.data(), count);
  self->rest_ = self->rest_.subspan(count);
}

bool PngReader::open() {
  return guarded([this] {
           png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
           if (png_ == nullptr) return;
           info_ = png_create_info_struct(png_);
           png_set_read_fn(png_, this, on_read);
           // Drops all chunks that do not change pixels (profiles, text), and with them what they
           // could expand to.
           png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
           png_read_info(png_, info_);
           png_set_palette_to_rgb(png_);
           png_set_expand_gray_1_2_4_to_8(png_);
           png_set_strip_16(png_);
           png_set_strip_alpha(png_);
           png_set_gray_to_rgb(png_);
         }) &&
         info_ != nullptr;
}

bool PngReader::read_pixels(Image& image) {
  return guarded([&] {
    const int passes = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    if (png_get_rowbytes(png_, info_) != image.stride()) png_error(png_, "unexpected row size");
    for (int pass = 0; pass < passes; ++pass) {
      for (int y = 0; y < image.height; ++y) png_read_row(png_, image.row(y), nullptr);
    }
    png_read_end(png_, nullptr);
  });
}

Result<DecodedPicture> PngReader::read() {
  constexpr size_t kHeader = kSignature + 16;  // the first chunk's length, name, width and height
  if (input_.bytes.size() < kHeader) {
    return damaged(input_, ImageFormat::kPng, "the header is incomplete");
  }
  const uint32_t width = big_endian(input_.bytes, kSignature + 8);
  const uint32_t height = big_endian(input_.bytes, kSignature + 12);
  FASTVLM_RETURN_IF_ERROR(check_size(input_, width, height));
  if (!open()) return failure();
  // libpng read the same bytes; a second look costs nothing and keeps the buffer honest.
  if (png_get_image_width(png_, info_) != width || png_get_image_height(png_, info_) != height) {
    return damaged(input_, ImageFormat::kPng, "the header comes twice");
  }
  DecodedPicture decoded;
  decoded.orientation = chunk_orientation(input_.bytes);
  decoded.image = blank_image(static_cast<int>(width), static_cast<int>(height));
  if (!read_pixels(decoded.image)) return failure();
  return decoded;
}

}  // namespace

Result<DecodedPicture> decode_png(const Input& input) {
  return PngReader(input).read();
}

}  // namespace fastvlm::codec

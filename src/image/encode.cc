// SPDX-License-Identifier: Apache-2.0
#include "image/encode.h"

#include <png.h>

#include <array>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>

// jpeglib.h needs <cstdio> before it.
#include <jpeglib.h>

#include "base/strings.h"

namespace fastvlm {
namespace {

Status check_sides(const Image& image, const std::string& name) {
  const bool fits = image.width > 0 && image.height > 0 && image.width <= kMaxImageSide &&
                    image.height <= kMaxImageSide &&
                    image.rgb.size() == image.stride() * static_cast<size_t>(image.height);
  if (fits) return {};
  return error(Code::kUsage,
               cat(name, ": cannot write a picture of ", image.width, "x", image.height), "");
}

// libjpeg leaves by longjmp; nothing that it jumps over owns anything.
struct JpegWriter {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  jmp_buf jump{};
  std::array<char, JMSG_LENGTH_MAX> message{};
  unsigned char* bytes = nullptr;
  unsigned long size = 0;

  JpegWriter() {
    info.err = jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = [](j_common_ptr common) {
      auto* self = static_cast<JpegWriter*>(common->client_data);
      common->err->format_message(common, self->message.data());
      std::longjmp(self->jump, 1);
    };
    errors.emit_message = [](j_common_ptr, int) {};
  }
  JpegWriter(const JpegWriter&) = delete;
  JpegWriter& operator=(const JpegWriter&) = delete;
  ~JpegWriter() {
    jpeg_destroy_compress(&info);
    std::free(bytes);
  }

  [[gnu::noinline]] bool write(const Image& image, int quality) {
    if (setjmp(jump) != 0) return false;
    jpeg_create_compress(&info);
    info.client_data = this;
    jpeg_mem_dest(&info, &bytes, &size);
    info.image_width = static_cast<JDIMENSION>(image.width);
    info.image_height = static_cast<JDIMENSION>(image.height);
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    info.comp_info[0].h_samp_factor = 1;
    info.comp_info[0].v_samp_factor = 1;
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
      auto* row = const_cast<uint8_t*>(image.row(static_cast<int>(info.next_scanline)));
      jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    return true;
  }
};

}  // namespace

Result<std::string> encode_jpeg(const Image& image, const std::string& name, int quality) {
  FASTVLM_RETURN_IF_ERROR(check_sides(image, name));
  JpegWriter writer;
  if (!writer.write(image, quality)) {
    return error(Code::kIo, cat(name, ": cannot be written as JPEG: ", writer.message.data()), "");
  }
  return std::string(reinterpret_cast<const char*>(writer.bytes), writer.size);
}

Result<std::string> encode_png(const Image& image, const std::string& name) {
  FASTVLM_RETURN_IF_ERROR(check_sides(image, name));
  png_image info{};
  info.version = PNG_IMAGE_VERSION;
  info.width = static_cast<png_uint_32>(image.width);
  info.height = static_cast<png_uint_32>(image.height);
  info.format = PNG_FORMAT_RGB;
  std::string bytes(PNG_IMAGE_PNG_SIZE_MAX(info), '\0');
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&info, bytes.data(), &size, 0, image.rgb.data(), 0, nullptr) == 0) {
    return error(Code::kIo, cat(name, ": cannot be written as PNG: ", info.message), "");
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace fastvlm

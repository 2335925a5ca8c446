// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <csetjmp>
#include <cstdio>
#include <vector>

// jpeglib.h needs <cstdio> before it, and jerror.h needs jpeglib.h.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "image/codec.h"
#include "image/exif.h"

namespace fastvlm::codec {
namespace {

// A progressive file may hold any number of scans, each of which costs a pass over the whole
// picture; encoders write about ten.
constexpr int kMaxScans = 100;

// libjpeg reports by callbacks and leaves by longjmp, which skips destructors. So every call runs
// inside guarded(), in a step that owns nothing.
struct ErrorManager : jpeg_error_mgr {
  jmp_buf jump;
  std::array<char, JMSG_LENGTH_MAX> message;
};

[[noreturn]] void give_up(j_common_ptr info) {
  auto* manager = static_cast<ErrorManager*>(info->err);
  manager->format_message(info, manager->message.data());
  std::longjmp(manager->jump, 1);
}

// Warnings that mean lost pixels, which libjpeg would fill with grey. The others (stray bytes
// between segments, odd version numbers) do no harm and are common.
bool loses_pixels(int code) {
  return code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE ||
         code == JWRN_ARITH_BAD_CODE || code == JWRN_MUST_RESYNC;
}

void on_message(j_common_ptr info, int level) {
  if (level < 0 && loses_pixels(info->err->msg_code)) give_up(info);
}

void on_progress(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number <= kMaxScans) return;
  auto* manager = static_cast<ErrorManager*>(info->err);
  std::snprintf(manager->message.data(), manager->message.size(), "more than %d scans", kMaxScans);
  std::longjmp(manager->jump, 1);
}

// Runs `step` and returns false when libjpeg gave up in it; the message is then in `manager`.
template <typename Step>
[[gnu::noinline]] bool guarded(ErrorManager& manager, const Step& step) {
  if (setjmp(manager.jump) != 0) return false;
  step();
  return true;
}

class JpegReader {
 public:
  explicit JpegReader(const Input& input) : input_(input) {
    info_.err = jpeg_std_error(&errors_);
    errors_.error_exit = give_up;
    errors_.emit_message = on_message;
    progress_.progress_monitor = on_progress;
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&info_); }

  Result<DecodedPicture> read();

 private:
  bool read_header();
  bool read_pixels(Image& image, std::vector<uint8_t>& cmyk);
  Status failure() const;
  int orientation() const;

  const Input& input_;
  jpeg_decompress_struct info_{};
  jpeg_progress_mgr progress_{};
  ErrorManager errors_{};
};

bool JpegReader::read_header() {
  return guarded(errors_, [this] {
    jpeg_create_decompress(&info_);
    info_.progress = &progress_;
    jpeg_mem_src(&info_, reinterpret_cast<const unsigned char*>(input_.bytes.data()),
                 static_cast<unsigned long>(input_.bytes.size()));
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&info_, TRUE);
  });
}

Status JpegReader::failure() const {
  if (errors_.msg_code == JERR_OUT_OF_MEMORY) return out_of_memory(input_.name);
  return damaged(input_, ImageFormat::kJpeg, errors_.message.data());
}

int JpegReader::orientation() const {
  constexpr size_t kPrefix = 6;  // "Exif\0\0"; APP1 also carries XMP
  for (auto* marker = info_.marker_list; marker != nullptr; marker = marker->next) {
    const auto block = std::as_bytes(std::span(marker->data, marker->data_length));
    if (block.size() > kPrefix && block[0] == std::byte{'E'} && block[1] == std::byte{'x'}) {
      return exif_orientation(block);
    }
  }
  return 1;
}

// Pillow takes every four-channel JPEG for an Adobe one, which stores 255 minus the ink, and mixes
// without a profile: channel = (255 - ink) * (255 - black) / 255, rounded.
void cmyk_to_rgb(const std::vector<uint8_t>& cmyk, uint8_t* rgb) {
  for (size_t i = 0; i + 4 <= cmyk.size(); i += 4, rgb += 3) {
    const int not_black = cmyk[i + 3];
    for (size_t c = 0; c < 3; ++c) {
      const int product = (255 - cmyk[i + c]) * not_black + 128;
      const int taken = (product + (product >> 8)) >> 8;
      rgb[c] = static_cast<uint8_t>(std::max(not_black - taken, 0));
    }
  }
}

bool JpegReader::read_pixels(Image& image, std::vector<uint8_t>& cmyk) {
  return guarded(errors_, [&] {
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      uint8_t* row = image.row(static_cast<int>(info_.output_scanline));
      JSAMPROW target = cmyk.empty() ? row : cmyk.data();
      if (jpeg_read_scanlines(&info_, &target, 1) == 1 && !cmyk.empty()) cmyk_to_rgb(cmyk, row);
    }
    jpeg_finish_decompress(&info_);
  });
}

Result<DecodedPicture> JpegReader::read() {
  if (!read_header()) return failure();
  FASTVLM_RETURN_IF_ERROR(check_size(input_, info_.image_width, info_.image_height));
  const bool four_channels = info_.num_components == 4;
  info_.out_color_space = four_channels ? JCS_CMYK : JCS_RGB;
  DecodedPicture decoded;
  decoded.orientation = orientation();
  decoded.image =
      blank_image(static_cast<int>(info_.image_width), static_cast<int>(info_.image_height));
  std::vector<uint8_t> cmyk(four_channels ? size_t{info_.image_width} * 4 : 0);
  if (!read_pixels(decoded.image, cmyk)) return failure();
  return decoded;
}

}  // namespace

Result<DecodedPicture> decode_jpeg(const Input& input) {
  return JpegReader(input).read();
}

}  // namespace fastvlm::codec

// SPDX-License-Identifier: Apache-2.0
#include <libheif/heif.h>

#include <cstring>
#include <memory>
#include <utility>

#include "image/codec.h"
#include "image/heif_structure.h"

namespace fastvlm::codec {
namespace {

struct Free {
  void operator()(heif_context* context) const { heif_context_free(context); }
  void operator()(heif_image_handle* handle) const { heif_image_handle_release(handle); }
  void operator()(heif_image* image) const { heif_image_release(image); }
  void operator()(heif_decoding_options* options) const { heif_decoding_options_free(options); }
};
template <typename T>
using Owned = std::unique_ptr<T, Free>;

Status failure(const Input& input, const heif_error& reason) {
  const ImageFormat format = sniff(input.bytes);
  if (reason.code == heif_error_Memory_allocation_error) return out_of_memory(input.name);
  if (reason.code == heif_error_Unsupported_feature ||
      reason.code == heif_error_Unsupported_filetype) {
    return error(Code::kUnsupported,
                 cat(input.name, ": libheif cannot read this ", format_name(format),
                     " picture: ", reason.message),
                 "install libheif's decoder plugin for it, or convert it to PNG or JPEG first");
  }
  return damaged(input, format, reason.message);
}

Status size_changed(const Input& input) {
  return damaged(input, sniff(input.bytes), "the pixels have another size than the header says");
}

Result<Image> copy_pixels(const Input& input, const heif_image* source) {
  const int width = heif_image_get_width(source, heif_channel_interleaved);
  const int height = heif_image_get_height(source, heif_channel_interleaved);
  int stride = 0;
  const uint8_t* pixels = heif_image_get_plane_readonly(source, heif_channel_interleaved, &stride);
  FASTVLM_RETURN_IF_ERROR(check_size(input, width, height));
  if (pixels == nullptr || stride < width * 3) return size_changed(input);
  Image image = blank_image(width, height);
  for (int y = 0; y < height; ++y, pixels += stride) {
    std::memcpy(image.row(y), pixels, image.stride());
  }
  return image;
}

}  // namespace

// The orientation stays 1: libheif applies the rotation and mirroring that the file describes, and
// the EXIF block only repeats it.
Result<DecodedPicture> decode_heif(const Input& input) {
  FASTVLM_RETURN_IF_ERROR(check_structure(input));
  const Owned<heif_context> context(heif_context_alloc());
  heif_error reason = heif_context_read_from_memory_without_copy(context.get(), input.bytes.data(),
                                                                 input.bytes.size(), nullptr);
  if (reason.code != heif_error_Ok) return failure(input, reason);

  heif_image_handle* raw_handle = nullptr;
  reason = heif_context_get_primary_image_handle(context.get(), &raw_handle);
  const Owned<heif_image_handle> handle(raw_handle);
  if (reason.code != heif_error_Ok) return failure(input, reason);
  FASTVLM_RETURN_IF_ERROR(check_size(input, heif_image_handle_get_width(handle.get()),
                                     heif_image_handle_get_height(handle.get())));

  const Owned<heif_decoding_options> options(heif_decoding_options_alloc());
  options->convert_hdr_to_8bit = 1;
  heif_image* raw_image = nullptr;
  reason = heif_decode_image(handle.get(), &raw_image, heif_colorspace_RGB,
                             heif_chroma_interleaved_RGB, options.get());
  const Owned<heif_image> image(raw_image);
  if (reason.code != heif_error_Ok) return failure(input, reason);
  FASTVLM_ASSIGN(Image pixels, copy_pixels(input, image.get()));
  return DecodedPicture{std::move(pixels), 1};
}

}  // namespace fastvlm::codec

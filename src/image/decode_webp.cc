// SPDX-License-Identifier: Apache-2.0
#include <webp/decode.h>
#include <webp/demux.h>

#include <cstring>
#include <memory>

#include "image/codec.h"
#include "image/exif.h"

namespace fastvlm::codec {
namespace {

struct DeleteDemuxer {
  void operator()(WebPDemuxer* demuxer) const { WebPDemuxDelete(demuxer); }
};
struct DeleteAnimation {
  void operator()(WebPAnimDecoder* decoder) const { WebPAnimDecoderDelete(decoder); }
};

// The orientation of the EXIF chunk; false when the container is not complete.
bool read_container(const WebPData& data, int& orientation) {
  const std::unique_ptr<WebPDemuxer, DeleteDemuxer> demuxer(WebPDemux(&data));
  if (demuxer == nullptr) return false;
  WebPChunkIterator chunk;
  if (WebPDemuxGetChunk(demuxer.get(), "EXIF", 1, &chunk) != 0) {
    orientation = exif_orientation(std::as_bytes(std::span(chunk.chunk.bytes, chunk.chunk.size)));
    WebPDemuxReleaseChunkIterator(&chunk);
  }
  return true;
}

bool decode_still(const WebPData& data, Image& image) {
  return WebPDecodeRGBInto(data.bytes, data.size, image.rgb.data(), image.rgb.size(),
                           static_cast<int>(image.stride())) != nullptr;
}

// The first frame on its canvas, which may be larger than the frame; transparent becomes black.
bool decode_first_frame(const WebPData& data, Image& image) {
  WebPAnimDecoderOptions options;
  if (WebPAnimDecoderOptionsInit(&options) == 0) return false;
  options.color_mode = MODE_RGBA;
  const std::unique_ptr<WebPAnimDecoder, DeleteAnimation> decoder(
      WebPAnimDecoderNew(&data, &options));
  WebPAnimInfo info;
  if (decoder == nullptr || WebPAnimDecoderGetInfo(decoder.get(), &info) == 0) return false;
  if (info.canvas_width != static_cast<uint32_t>(image.width) ||
      info.canvas_height != static_cast<uint32_t>(image.height)) {
    return false;
  }
  uint8_t* rgba = nullptr;  // owned by the decoder
  int timestamp = 0;
  if (WebPAnimDecoderGetNext(decoder.get(), &rgba, &timestamp) == 0) return false;
  for (size_t i = 0; i < image.rgb.size(); i += 3, rgba += 4) {
    std::memcpy(image.rgb.data() + i, rgba, 3);
  }
  return true;
}

}  // namespace

Result<DecodedPicture> decode_webp(const Input& input) {
  const WebPData data = {reinterpret_cast<const uint8_t*>(input.bytes.data()), input.bytes.size()};
  const auto bad = [&](const char* detail) { return damaged(input, ImageFormat::kWebp, detail); };
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data.bytes, data.size, &features) != VP8_STATUS_OK) return bad("no header");
  FASTVLM_RETURN_IF_ERROR(check_size(input, features.width, features.height));
  DecodedPicture decoded;
  if (!read_container(data, decoded.orientation)) return bad("the container is incomplete");
  decoded.image = blank_image(features.width, features.height);
  const bool done = features.has_animation != 0 ? decode_first_frame(data, decoded.image)
                                                : decode_still(data, decoded.image);
  if (!done) return bad("the pixels cannot be decoded");
  return decoded;
}

}  // namespace fastvlm::codec

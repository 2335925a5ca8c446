// SPDX-License-Identifier: Apache-2.0
#include "image/decode.h"

#include <algorithm>
#include <cstring>
#include <iomanip>
#include <new>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "image/codec.h"
#include "image/exif.h"

namespace fastvlm {
namespace {

using namespace std::string_view_literals;

constexpr size_t kMaxFileBytes = size_t{1} << 30;
constexpr size_t kHeadBytes = 4096;  // enough to know the format

// HEIC, AVIF and videos share a container; its first box lists the kinds ("brands") of the content:
// size u32, "ftyp", the main brand, a version, then further brands.
ImageFormat sniff_container(std::string_view text) {
  if (text.size() < 12 || text.substr(4, 4) != "ftyp"sv) return ImageFormat::kUnknown;
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(text[i])); };
  const size_t box = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
  ImageFormat format = ImageFormat::kUnknown;
  for (size_t at = 8; at + 4 <= std::min(text.size(), box); at += at == 8 ? 8 : 4) {
    const std::string_view brand = text.substr(at, 4);
    if (brand == "avif"sv || brand == "avis"sv) return ImageFormat::kAvif;
    for (const auto known :
         {"heic"sv, "heix"sv, "heim"sv, "heis"sv, "hevc"sv, "hevx"sv, "mif1"sv, "msf1"sv}) {
      if (brand == known) format = ImageFormat::kHeif;
    }
  }
  return format;
}

// What people hand over by mistake, so that the message can say it and the hint can help.
struct Lookalike {
  std::string_view prefix;
  std::string_view what;
  std::string_view hint;
};

constexpr std::string_view kConvert = "convert it to PNG or JPEG first";
constexpr std::string_view kNotAPicture = "pass a JPEG, PNG, WebP, BMP, HEIC or AVIF picture";
constexpr std::string_view kDownload = "the download went wrong; fetch the picture itself";

constexpr Lookalike kLookalikes[] = {
    {"II*\0"sv, "a TIFF or camera raw picture", kConvert},
    {"MM\0*"sv, "a TIFF or camera raw picture", kConvert},
    {"\xFF\x0A"sv, "a JPEG XL picture", kConvert},
    {"\0\0\0\x0CJXL "sv, "a JPEG XL picture", kConvert},
    {"\0\0\0\x0CjP  "sv, "a JPEG 2000 picture", kConvert},
    {"\0\0\x01\0"sv, "an icon file", kConvert},
    {"8BPS"sv, "a Photoshop document", kConvert},
    {"<svg"sv, "an SVG drawing", kConvert},
    {"%PDF"sv, "a PDF document", kConvert},
    {"<!doctype"sv, "an HTML page", kDownload},
    {"<html"sv, "an HTML page", kDownload},
    {"<?xml"sv, "an XML document", kNotAPicture},
    {"version https://git-lfs"sv, "a Git LFS pointer", "run `git lfs pull` to fetch the picture"},
    {"PK\x03\x04"sv, "a zip archive", "unpack it first"},
    {"\x1F\x8B"sv, "a gzip archive", "unpack it first"},
};

std::string hexadecimal(std::span<const std::byte> bytes) {
  std::ostringstream out;
  for (const std::byte byte : bytes) {
    out << ' ' << std::hex << std::setw(2) << std::setfill('0') << std::to_integer<int>(byte);
  }
  return std::move(out).str();
}

Status not_a_picture(std::span<const std::byte> bytes, const std::string& name) {
  const auto found = [&](std::string_view what, std::string_view hint) {
    return error(Code::kInvalid, cat(name, ": expected a picture, found ", what),
                 std::string(hint));
  };
  if (bytes.empty()) return found("an empty file", "fetch the picture again");
  const std::string_view text = text_of(bytes);
  for (const Lookalike& lookalike : kLookalikes) {
    if (starts_with_ignoring_case(text, lookalike.prefix)) {
      return found(lookalike.what, lookalike.hint);
    }
  }
  if (text.size() >= 8 && text.substr(4, 4) == "ftyp"sv) {
    return found("a video or audio file", "extract a frame as PNG or JPEG first");
  }
  const auto head = text.substr(0, 64);
  const bool printable = std::all_of(head.begin(), head.end(), [](char c) {
    return (c >= ' ' && c <= '~') || c == '\n' || c == '\r' || c == '\t';
  });
  if (printable) return found("text", kNotAPicture);
  const auto first = bytes.first(std::min<size_t>(bytes.size(), 8));
  return found(cat("unknown data that begins with", hexadecimal(first)), kNotAPicture);
}

Result<codec::DecodedPicture> decode_stored(ImageFormat format, const codec::Input& input) {
  switch (format) {
    case ImageFormat::kJpeg:
      return codec::decode_jpeg(input);
    case ImageFormat::kPng:
      return codec::decode_png(input);
    case ImageFormat::kWebp:
      return codec::decode_webp(input);
    case ImageFormat::kHeif:
    case ImageFormat::kAvif:
      return codec::decode_heif(input);
    case ImageFormat::kBmp:
      return codec::decode_bmp(input);
    case ImageFormat::kGif:
      return error(Code::kUnsupported, cat(input.name, ": GIF pictures are not read"),
                   "convert the frame you want to PNG first");
    case ImageFormat::kUnknown:
      break;
  }
  return not_a_picture(input.bytes, input.name);
}

}  // namespace

namespace codec {

Status check_size(const Input& input, int64_t width, int64_t height) {
  if (width < 1 || height < 1) {
    return error(Code::kInvalid,
                 cat(input.name, ": the picture is ", width, "x", height, " pixels"),
                 "fetch the picture again");
  }
  if (width > kMaxImageSide || height > kMaxImageSide) {
    return error(Code::kLimit,
                 cat(input.name, ": ", width, "x", height, " pixels, but a side may have at most ",
                     kMaxImageSide),
                 "cut the picture into parts or scale it down first");
  }
  if (width * height > input.options.max_pixels) {
    return error(
        Code::kLimit,
        cat(input.name, ": ", width, "x", height, " is ", with_thousands(width * height),
            " pixels, but at most ", with_thousands(input.options.max_pixels), " are decoded"),
        "scale the picture down first");
  }
  return {};
}

Status damaged(const Input& input, ImageFormat format, std::string_view detail) {
  return error(
      Code::kInvalid,
      cat(input.name, ": the ", format_name(format), " data is damaged or cut short: ", detail),
      "fetch the file again, or open it in an image editor and save it anew");
}

Status out_of_memory(const std::string& name) {
  return error(Code::kLimit, cat(name, ": not enough memory to decode the picture"),
               "scale the picture down, or free some memory first");
}

}  // namespace codec

const char* format_name(ImageFormat format) {
  switch (format) {
    case ImageFormat::kJpeg:
      return "JPEG";
    case ImageFormat::kPng:
      return "PNG";
    case ImageFormat::kWebp:
      return "WebP";
    case ImageFormat::kHeif:
      return "HEIC";
    case ImageFormat::kAvif:
      return "AVIF";
    case ImageFormat::kGif:
      return "GIF";
    case ImageFormat::kBmp:
      return "BMP";
    case ImageFormat::kUnknown:
      break;
  }
  return "unknown";
}

ImageFormat sniff(std::span<const std::byte> bytes) {
  const std::string_view text = text_of(bytes);
  const auto begins = [&](std::string_view prefix) {
    return text.substr(0, prefix.size()) == prefix;
  };
  if (begins("\xFF\xD8\xFF"sv)) return ImageFormat::kJpeg;
  if (begins("\x89PNG\r\n\x1A\n"sv)) return ImageFormat::kPng;
  if (begins("RIFF"sv) && text.size() >= 12 && text.substr(8, 4) == "WEBP"sv) {
    return ImageFormat::kWebp;
  }
  if (begins("GIF87a"sv) || begins("GIF89a"sv)) return ImageFormat::kGif;
  // "BM" alone begins many a text; the four reserved bytes of the header are zero.
  if (begins("BM"sv) && text.size() >= 10 && text.substr(6, 4) == "\0\0\0\0"sv) {
    return ImageFormat::kBmp;
  }
  return sniff_container(text);
}

Result<Image> decode_image(std::span<const std::byte> bytes, const std::string& name,
                           const DecodeOptions& options) {
  try {
    FASTVLM_ASSIGN(codec::DecodedPicture decoded,
                   decode_stored(sniff(bytes), {bytes, name, options}));
    return options.apply_exif ? oriented(std::move(decoded.image), decoded.orientation)
                              : std::move(decoded.image);
  } catch (const std::bad_alloc&) {
    return codec::out_of_memory(name);
  } catch (const std::system_error& refused) {  // libheif decodes tiles in threads of its own
    return error(Code::kLimit, cat(name, ": the decoder cannot start a thread: ", refused.what()),
                 "end other programs, or raise the limit on threads (ulimit -u, pids.max)");
  }
}

Result<Image> load_image(const std::filesystem::path& path, const DecodeOptions& options) {
  // Read rather than mapped: a file that shrinks or a disk that fails meanwhile is then an error of
  // this picture and not the end of the program.
  FASTVLM_ASSIGN(std::string content, read_beginning(path, kHeadBytes));
  // A gigabyte that is no picture is not worth reading: its beginning says what it is.
  if (sniff(std::as_bytes(std::span(content))) != ImageFormat::kUnknown) {
    FASTVLM_ASSIGN(content, read_text_file(path, kMaxFileBytes));
  }
  return decode_image(std::as_bytes(std::span(content)), path.string(), options);
}

}  // namespace fastvlm

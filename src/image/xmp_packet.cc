// SPDX-License-Identifier: Apache-2.0
#include "image/xmp_packet.h"

#include <zlib.h>

#include <algorithm>
#include <optional>
#include <span>

#include "base/strings.h"
#include "image/decode.h"

namespace fastvlm::xmp {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kJpegName = "http://ns.adobe.com/xap/1.0/\0"sv;
constexpr std::string_view kJpegExif = "Exif\0"sv;
constexpr std::string_view kJpegPictures = "MPF\0"sv;
constexpr size_t kMostInSegment = 65533;  // two bytes hold the length, which counts itself
// Keyword, no compression, no language, no translated keyword.
constexpr std::string_view kPngKeyword = "XML:com.adobe.xmp\0"sv;
constexpr std::string_view kPngFlags = "\0\0\0\0"sv;
constexpr size_t kPngSignature = 8;
constexpr size_t kChunkFrame = 12;  // length, type and checksum

ImageFormat format_of(std::string_view file) {
  return sniff(std::as_bytes(std::span(file)));
}

size_t number_at(std::string_view file, size_t at, size_t bytes) {
  size_t value = 0;
  for (size_t i = at; i < at + bytes; ++i) value = value << 8 | static_cast<unsigned char>(file[i]);
  return value;
}

std::string number(size_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i) & 0xFF);
  return text;
}

Status damaged(std::string_view file, const std::string& name) {
  return error(Code::kInvalid,
               cat(name, ": the ", format_name(format_of(file)), " data is damaged or cut short"),
               "mend the picture, or leave it out with --exclude");
}

Status too_long(const std::string& name, std::string_view packet, size_t most) {
  return error(
      Code::kLimit,
      cat(name, ": its metadata with the caption would take ", packet.size(), " bytes of ", most),
      "ask for shorter captions, or write sidecars with --sidecar --format xmp");
}

// One segment before the picture's data.
struct Segment {
  unsigned char marker;
  size_t begin;  // of the marker
  size_t body;   // behind the length
  size_t end;
};

constexpr unsigned char kApp0 = 0xE0;
constexpr unsigned char kApp1 = 0xE1;
constexpr unsigned char kApp2 = 0xE2;
constexpr unsigned char kScan = 0xDA;

// None: damaged.
std::optional<Segment> segment_at(std::string_view file, size_t at) {
  size_t marker = at;
  while (marker + 1 < file.size() && file[marker] == '\xFF' && file[marker + 1] == '\xFF') ++marker;
  if (marker + 4 > file.size() || file[marker] != '\xFF') return std::nullopt;
  const size_t length = number_at(file, marker + 2, 2);
  const size_t end = marker + 2 + length;
  if (length < 2 || end > file.size()) return std::nullopt;
  return Segment{static_cast<unsigned char>(file[marker + 1]), marker, marker + 4, end};
}

// A new packet comes behind JFIF's and EXIF's segments, which want to be the first.
Result<PacketPlace> find_in_jpeg(std::string_view file, const std::string& name) {
  PacketPlace place{2, 2, ""};
  bool first = true;  // only those segments so far
  bool pictures = false;
  for (size_t at = 2;;) {
    const auto segment = segment_at(file, at);
    if (!segment) return damaged(file, name);
    if (segment->marker == kScan) return place;
    const std::string_view body = file.substr(segment->body, segment->end - segment->body);
    if (segment->marker == kApp1 && body.starts_with(kJpegName)) {
      if (pictures) {
        return error(Code::kUnsupported,
                     cat(name, ": holds more pictures, whose places would no longer be right"),
                     "write sidecars with --sidecar --format xmp");
      }
      return PacketPlace{segment->begin, segment->end, std::string(body.substr(kJpegName.size()))};
    }
    first = first &&
            (segment->marker == kApp0 || (segment->marker == kApp1 && body.starts_with(kJpegExif)));
    if (first) place.begin = place.end = segment->end;
    pictures = pictures || (segment->marker == kApp2 && body.starts_with(kJpegPictures));
    at = segment->end;
  }
}

Result<PacketPlace> find_in_png(std::string_view file, const std::string& name) {
  PacketPlace place;
  for (size_t at = kPngSignature;;) {
    if (file.size() - at < kChunkFrame) return damaged(file, name);
    const size_t length = number_at(file, at, 4);
    if (length > file.size() - at - kChunkFrame) return damaged(file, name);
    const std::string_view type = file.substr(at + 4, 4);
    const std::string_view body = file.substr(at + 8, length);
    const size_t end = at + kChunkFrame + length;
    if (at == kPngSignature) {
      if (type != "IHDR") return damaged(file, name);
      place = {end, end, ""};
    }
    if (type == "IEND") return place;
    if (place.packet.empty() && type == "iTXt" && body.starts_with(kPngKeyword)) {
      const std::string_view rest = body.substr(kPngKeyword.size());
      const size_t language_end = rest.find('\0', 2);
      const size_t text =
          language_end == std::string_view::npos ? language_end : rest.find('\0', language_end + 1);
      if (text == std::string_view::npos) return damaged(file, name);
      if (rest[0] != 0) {
        return error(Code::kUnsupported, cat(name, ": its metadata is compressed"),
                     "write sidecars with --sidecar --format xmp");
      }
      place = {at, end, std::string(rest.substr(text + 1))};
    }
    at = end;
  }
}

}  // namespace

Status check_packet(std::string_view packet, const std::string& name) {
  constexpr int kDeepest = 64;
  constexpr size_t kMostTags = 4000;
  int depth = 0;
  size_t tags = 0;
  for (size_t at = packet.find('<'); at != std::string_view::npos; at = packet.find('<', at + 1)) {
    const char next = at + 1 < packet.size() ? packet[at + 1] : '\0';
    if (next == '?' || next == '!') continue;
    const size_t end = packet.find('>', at);
    const bool closed = end != std::string_view::npos && packet[end - 1] == '/';
    depth += next == '/' ? -1 : closed ? 0 : 1;
    if (++tags <= kMostTags && depth <= kDeepest) continue;
    return error(Code::kLimit,
                 cat(name, ": its XMP has more than ", kMostTags, " tags or ", kDeepest,
                     " levels, which is not changed here"),
                 "write a sidecar instead: --sidecar --format xmp");
  }
  return {};
}

Result<PacketPlace> find_packet(std::string_view file, const std::string& name) {
  switch (format_of(file)) {
    case ImageFormat::kJpeg:
      return find_in_jpeg(file, name);
    case ImageFormat::kPng:
      return find_in_png(file, name);
    default:
      return error(Code::kUnsupported,
                   cat(name, ": captions are written into JPEG and PNG files, not into ",
                       format_of(file) == ImageFormat::kUnknown
                           ? std::string("this one")
                           : cat(format_name(format_of(file)), " files")),
                   "write sidecars with --sidecar --format xmp, or leave it out with --exclude");
  }
}

Result<std::string> wrap_packet(std::string_view file, std::string_view packet,
                                const std::string& name) {
  if (format_of(file) == ImageFormat::kJpeg) {
    const size_t most = kMostInSegment - kJpegName.size();
    if (packet.size() > most) return too_long(name, packet, most);
    return cat("\xFF\xE1", number(2 + kJpegName.size() + packet.size(), 2), kJpegName, packet);
  }
  constexpr size_t kMostInChunk = (size_t{1} << 31) - 1024;
  if (packet.size() > kMostInChunk) return too_long(name, packet, kMostInChunk);
  const std::string body = cat("iTXt", kPngKeyword, kPngFlags, packet);
  const auto checksum =
      ::crc32(0, reinterpret_cast<const Bytef*>(body.data()), static_cast<uInt>(body.size()));
  return cat(number(body.size() - 4, 4), body, number(checksum, 4));
}

}  // namespace fastvlm::xmp

// SPDX-License-Identifier: Apache-2.0
#include "image/heif_derivations.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/strings.h"

namespace fastvlm::codec {
namespace {

using namespace std::string_view_literals;

constexpr int kMaxDepth = 16;
constexpr int64_t kMaxPictures = 65'536;  // the tiles that one grid can have

// The big-endian integers and boxes of a piece of the file, one after the other. Reads beyond the
// end give nothing.
class BoxReader {
 public:
  explicit BoxReader(std::string_view content) : rest_(content) {}

  bool done() const { return rest_.empty(); }

  std::optional<std::string_view> take(uint64_t bytes) {
    if (bytes > rest_.size()) return std::nullopt;
    const std::string_view taken = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes);
    return taken;
  }

  std::optional<uint64_t> integer(size_t bytes) {
    const auto digits = take(bytes);
    if (!digits) return std::nullopt;
    uint64_t value = 0;
    for (const char digit : *digits) value = value << 8 | static_cast<uint8_t>(digit);
    return value;
  }

  struct Box {
    std::string_view type;
    std::string_view content;
  };

  // ISO/IEC 14496-12, 4.2: a size, which counts the header, and a type; a size of 1 is followed by
  // the true one in 64 bits, one of 0 means «to the end».
  std::optional<Box> box() {
    const size_t whole = rest_.size();
    auto size = integer(4);
    const auto type = take(4);
    if (!size || !type) return std::nullopt;
    if (*size == 1) size = integer(8);
    if (!size) return std::nullopt;
    if (*size == 0) size = whole;
    const size_t header = whole - rest_.size();
    if (*size < header) return std::nullopt;
    const auto content = take(*size - header);
    if (!content) return std::nullopt;
    return Box{*type, *content};
  }

 private:
  std::string_view rest_;
};

using Item = uint64_t;
using Sources = std::unordered_map<Item, std::vector<Item>>;  // item -> what it is derived from

// Adds what an `iref` box says of derivations. False where it is malformed.
bool add_references(std::string_view content, Sources& sources) {
  BoxReader reader(content);
  const auto version = reader.integer(4);
  if (!version) return false;
  const size_t id_bytes = *version >> 24 == 0 ? 2 : 4;
  while (!reader.done()) {
    const auto box = reader.box();
    if (!box) return false;
    BoxReader reference(box->content);
    const auto from = reference.integer(id_bytes);
    const auto count = reference.integer(2);
    // libheif goes by the count and not by the size of the box; they must say the same.
    if (!from || !count || box->content.size() != id_bytes + 2 + *count * id_bytes) return false;
    for (uint64_t i = 0; i < *count; ++i) {
      const Item to = *reference.integer(id_bytes);
      if (box->type == "dimg"sv) sources[*from].push_back(to);
      if (box->type == "auxl"sv) sources[to].push_back(*from);  // the alpha plane names its master
    }
  }
  return true;
}

// False where a box on the way to the references is malformed. What follows the end of a file that
// was cut short is libheif's to find.
bool read_references(std::string_view file, Sources& sources) {
  for (BoxReader boxes(file); !boxes.done();) {
    const auto box = boxes.box();
    if (!box) return true;
    if (box->type != "meta"sv) continue;
    BoxReader parts(box->content);
    if (!parts.integer(4)) return false;  // version and flags
    while (!parts.done()) {
      const auto part = parts.box();
      if (!part || (part->type == "iref"sv && !add_references(part->content, sources)))
        return false;
    }
  }
  return true;
}

// Walks the derivations; each item's answer is kept, so that each is looked at once.
class Walk {
 public:
  explicit Walk(const Sources& sources) : sources_(sources) {}

  struct Extent {
    int depth = 1;         // of the longest chain down from an item, itself included
    int64_t pictures = 1;  // decoded to show it
  };

  // Nothing where the chain that led here grows too long, as it does in a circle.
  std::optional<Extent> visit(Item item, int above = 0) {
    if (above >= kMaxDepth) return std::nullopt;
    if (const auto found = known_.find(item); found != known_.end()) return found->second;
    Extent extent;
    if (const auto found = sources_.find(item); found != sources_.end()) {
      for (const Item source : found->second) {
        const auto below = visit(source, above + 1);
        if (!below) return std::nullopt;
        extent.depth = std::max(extent.depth, below->depth + 1);
        extent.pictures = std::min(extent.pictures + below->pictures, kMaxPictures + 2);
      }
    }
    return known_.emplace(item, extent).first->second;
  }

 private:
  const Sources& sources_;
  std::unordered_map<Item, Extent> known_;
};

}  // namespace

Status check_derivations(const Input& input) {
  const ImageFormat format = sniff(input.bytes);
  Sources sources;
  if (!read_references(text_of(input.bytes), sources)) {
    return damaged(input, format, "its references between pictures are malformed");
  }
  Walk walk(sources);
  for (const auto& [item, from] : sources) {
    const auto extent = walk.visit(item);
    if (!extent || extent->depth > kMaxDepth) {
      return damaged(input, format,
                     cat("pictures in it are derived from each other in a circle or more than ",
                         kMaxDepth, " deep"));
    }
    if (extent->pictures > kMaxPictures + 1) {
      return error(Code::kLimit,
                   cat(input.name, ": one picture is put together of more than ",
                       with_thousands(kMaxPictures), " others"),
                   "convert it to PNG or JPEG first");
    }
  }
  return {};
}

}  // namespace fastvlm::codec

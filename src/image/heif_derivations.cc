// SPDX-License-Identifier: Apache-2.0
#include "image/heif_derivations.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>
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
    bool whole;  // else cut short: what there is of it
  };

  // ISO/IEC 14496-12, 4.2: a size, which counts the header, and a type; a size of 1 is followed by
  // the true one in 64 bits, one of 0 means «to the end».
  std::optional<Box> box() {
    const size_t there = rest_.size();
    auto size = integer(4);
    const auto type = take(4);
    if (size && *size == 1) size = integer(8);
    if (!size || !type) return std::nullopt;
    if (*size == 0) size = there;
    const size_t header = there - rest_.size();
    if (*size < header) return std::nullopt;
    return Box{*type, *take(std::min(*size, there) - header), *size <= there};
  }

 private:
  std::string_view rest_;
};

using Item = uint64_t;

// What the file says of its items.
struct Items {
  std::unordered_map<Item, std::string_view> types;
  std::unordered_map<Item, std::vector<Item>> sources;  // item -> what it is derived from
};

bool is_derived(std::string_view type) {
  return type == "grid"sv || type == "iden"sv || type == "iovl"sv;
}

bool is_picture(std::string_view type) {
  return is_derived(type) || type == "hvc1"sv || type == "av01"sv || type == "vvc1"sv;
}

// Each of these takes the content of the box it is named for; false where that is malformed.

bool read_iinf(std::string_view content, Items& items) {
  BoxReader reader(content);
  const auto version = reader.integer(4);
  if (!version || !reader.integer(*version >> 24 == 0 ? 2 : 4)) return false;
  while (!reader.done()) {
    const auto box = reader.box();
    if (!box || !box->whole) return false;
    if (box->type != "infe"sv) continue;
    BoxReader entry(box->content);
    const auto entry_version = entry.integer(4);
    if (!entry_version) return false;
    if (*entry_version >> 24 < 2) continue;  // no pictures
    const auto item = entry.integer(*entry_version >> 24 == 2 ? 2 : 4);
    if (!entry.integer(2)) return false;  // protection
    const auto type = entry.take(4);
    if (!item || !type) return false;
    if (!items.types.emplace(*item, *type).second) return false;
  }
  return true;
}

bool read_iref(std::string_view content, Items& items) {
  BoxReader reader(content);
  const auto version = reader.integer(4);
  if (!version) return false;
  const size_t id_bytes = *version >> 24 == 0 ? 2 : 4;
  while (!reader.done()) {
    const auto box = reader.box();
    if (!box || !box->whole) return false;
    BoxReader reference(box->content);
    const auto from = reference.integer(id_bytes);
    const auto count = reference.integer(2);
    // libheif goes by the count and not by the size of the box; they must say the same.
    if (!from || !count || box->content.size() != id_bytes + 2 + *count * id_bytes) return false;
    for (uint64_t i = 0; i < *count; ++i) {
      const Item to = *reference.integer(id_bytes);
      if (box->type == "dimg"sv) items.sources[*from].push_back(to);
      if (box->type == "auxl"sv) items.sources[to].push_back(*from);  // alpha names its master
    }
  }
  return true;
}

bool read_meta(std::string_view content, Items& items) {
  BoxReader reader(content);
  if (!reader.integer(4)) return false;  // version and flags
  bool has_iinf = false;
  bool has_iref = false;
  while (!reader.done()) {
    const auto box = reader.box();
    if (!box || !box->whole) return false;
    // Of two of a kind libheif would take one; which one is not for us to guess.
    if (box->type == "iinf"sv &&
        (std::exchange(has_iinf, true) || !read_iinf(box->content, items))) {
      return false;
    }
    if (box->type == "iref"sv &&
        (std::exchange(has_iref, true) || !read_iref(box->content, items))) {
      return false;
    }
  }
  return true;
}

// What follows the end of a file that was cut short is libheif's to find.
bool read_file(std::string_view content, Items& items) {
  bool has_meta = false;
  for (BoxReader reader(content); !reader.done();) {
    const auto box = reader.box();
    if (!box) return true;
    if (box->type != "meta"sv) continue;
    if (!box->whole || std::exchange(has_meta, true) || !read_meta(box->content, items))
      return false;
  }
  return true;
}

// Walks the derivations; each item's answer is kept, so that each is looked at once.
class Walk {
 public:
  explicit Walk(const Items& items) : items_(items) {}

  struct Extent {
    int depth = 1;         // of the longest chain down from an item, itself included
    int64_t pictures = 1;  // decoded to show it
  };

  // Nothing where the chain that led here grows too long, as it does in a circle.
  std::optional<Extent> visit(Item item, int above = 0) {
    if (above >= kMaxDepth) return std::nullopt;
    if (const auto found = known_.find(item); found != known_.end()) return found->second;
    Extent extent;
    if (const auto found = items_.sources.find(item); found != items_.sources.end()) {
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
  const Items& items_;
  std::unordered_map<Item, Extent> known_;
};

}  // namespace

Status check_derivations(const Input& input) {
  const ImageFormat format = sniff(input.bytes);
  Items items;
  if (!read_file(text_of(input.bytes), items)) {
    return damaged(input, format, "its list of pictures is malformed");
  }
  const auto type_of = [&](Item item) {
    const auto found = items.types.find(item);
    return found == items.types.end() ? ""sv : found->second;
  };
  Walk walk(items);
  for (const auto& [item, sources] : items.sources) {
    const bool lacks_one = std::any_of(sources.begin(), sources.end(),
                                       [&](Item source) { return !is_picture(type_of(source)); });
    if (is_derived(type_of(item)) && lacks_one) {
      return damaged(input, format, "a picture in it is derived from one that is not there");
    }
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

// SPDX-License-Identifier: Apache-2.0
#include "image/heif_structure.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/strings.h"

namespace fastvlm::codec {
namespace {

using namespace std::string_view_literals;

constexpr int kMaxDepth = 5;             // an alpha plane that is a copy of a grid of tiles has 4
constexpr int64_t kMaxPictures = 4096;   // 200 million pixels in tiles of 256 x 256 are 3,052
constexpr uint64_t kMaxPlaces = 20'000;  // libheif's limits, too: in how many places items may lie,
constexpr uint64_t kMaxExtents = 32;     // and in how many pieces one

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

  std::optional<Box> whole_box() {
    const auto found = box();
    return found && found->whole ? found : std::nullopt;
  }

 private:
  std::string_view rest_;
};

using Item = uint64_t;

// What the file says of its items.
struct Items {
  std::unordered_map<Item, std::string_view> types;
  std::unordered_map<Item, std::vector<Item>> sources;  // item -> what it is derived from
  std::unordered_map<Item, std::vector<Item>> alphas;   // item -> alpha planes and the like

  struct Place {
    uint64_t method;  // 0: offsets count from the beginning of the file, 1: from that of `idat`
    std::vector<std::pair<uint64_t, uint64_t>> extents;  // offset, length
  };
  std::unordered_map<Item, Place> places;
  std::string_view idat;
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
    const auto box = reader.whole_box();
    if (!box) return false;
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
    const auto box = reader.whole_box();
    if (!box) return false;
    BoxReader reference(box->content);
    const auto from = reference.integer(id_bytes);
    const auto count = reference.integer(2);
    // libheif goes by the count and not by the size of the box; they must say the same.
    if (!from || !count || box->content.size() != id_bytes + 2 + *count * id_bytes) return false;
    for (uint64_t i = 0; i < *count; ++i) {
      const Item to = *reference.integer(id_bytes);
      if (box->type == "dimg"sv) items.sources[*from].push_back(to);
      if (box->type == "auxl"sv) items.alphas[to].push_back(*from);
    }
  }
  return true;
}

// An offset, length or index of 0, 4 or 8 bytes.
std::optional<uint64_t> sized(BoxReader& reader, uint64_t bytes) {
  if (bytes != 0 && bytes != 4 && bytes != 8) return std::nullopt;
  return reader.integer(bytes);
}

bool read_iloc(std::string_view content, Items& items) {
  BoxReader reader(content);
  const auto version_and_flags = reader.integer(4);
  const auto sizes = reader.integer(2);  // of an offset, a length, a base and an index: 4 bits each
  if (!version_and_flags || !sizes) return false;
  const uint64_t version = *version_and_flags >> 24;
  if (version > 2 || (version == 1 && (*sizes & 15) != 0)) return false;  // libheif skips no index
  const size_t id_bytes = version < 2 ? 2 : 4;
  const auto count = reader.integer(id_bytes);
  if (!count || *count > kMaxPlaces) return false;
  for (uint64_t i = 0; i < *count; ++i) {
    const auto item = reader.integer(id_bytes);
    const auto method = version == 0 ? 0 : reader.integer(2);
    const auto reference = reader.integer(2);  // to another file
    const auto base = sized(reader, *sizes >> 4 & 15);
    const auto extents = reader.integer(2);
    if (!item || !method || !reference || !base || !extents || *extents > kMaxExtents) {
      return false;
    }
    Items::Place place{*method & 15, {}};
    for (uint64_t k = 0; k < *extents; ++k) {
      if (version == 2 && !sized(reader, *sizes & 15)) return false;
      const auto offset = sized(reader, *sizes >> 12);
      const auto length = sized(reader, *sizes >> 8 & 15);
      if (!offset || !length) return false;
      place.extents.emplace_back(*base + *offset, *length);
    }
    if (!items.places.emplace(*item, std::move(place)).second) return false;
  }
  return true;
}

bool read_idat(std::string_view content, Items& items) {
  items.idat = content;
  return true;
}

bool read_meta(std::string_view content, Items& items) {
  BoxReader reader(content);
  if (!reader.integer(4)) return false;  // version and flags
  struct Part {
    std::string_view type;
    bool (*read)(std::string_view content, Items& items);
    bool seen = false;
  };
  Part parts[] = {
      {"iinf"sv, read_iinf}, {"iref"sv, read_iref}, {"iloc"sv, read_iloc}, {"idat"sv, read_idat}};
  while (!reader.done()) {
    const auto box = reader.whole_box();
    if (!box) return false;
    for (Part& part : parts) {
      if (box->type != part.type) continue;
      // Of two of a kind libheif would take one; which one is not for us to guess.
      if (std::exchange(part.seen, true) || !part.read(box->content, items)) return false;
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

// The first bytes of an item, as far as they are there.
std::string beginning(std::string_view file, const Items& items, Item item, size_t bytes) {
  std::string text;
  const auto found = items.places.find(item);
  if (found == items.places.end() || found->second.method > 1) return text;
  const std::string_view from = found->second.method == 0 ? file : items.idat;
  for (const auto& [offset, length] : found->second.extents) {
    if (offset > from.size() || length > from.size() - offset) break;
    text += from.substr(offset, std::min<uint64_t>(length, bytes - text.size()));
  }
  return text;
}

struct Size {
  uint64_t width;
  uint64_t height;
};

// Of a grid or an overlay, as its item begins (ISO/IEC 23008-12, 6.6.2): a version, flags, then for
// a grid rows and columns less one, for an overlay a background of four 16-bit numbers, and then
// its width and height. Nothing where that is cut short.
std::optional<Size> size_of(std::string_view type, std::string_view item) {
  BoxReader reader(item);
  const auto version = reader.integer(1);
  const auto flags = reader.integer(1);
  const auto skipped = reader.take(type == "grid"sv ? 2 : 8);
  if (!version || !flags || !skipped) return std::nullopt;
  const size_t bytes = (*flags & 1) != 0 ? 4 : 2;
  const auto width = reader.integer(bytes);
  const auto height = reader.integer(bytes);
  if (!width || !height) return std::nullopt;
  return Size{*width, *height};
}

// Walks the derivations; each item's answer is kept, so that each is looked at once.
class Walk {
 public:
  explicit Walk(const Items& items) : items_(items) {}

  struct Extent {
    int depth = 1;       // of the longest chain down from an item, itself included
    int64_t others = 0;  // pictures decoded to show it
  };

  // Nothing where the chain that led here grows too long, as it does in a circle.
  std::optional<Extent> visit(Item item, int above = 0) {
    if (above >= kMaxDepth) return std::nullopt;
    if (const auto found = known_.find(item); found != known_.end()) return found->second;
    Extent extent;
    for (const auto* links : {&items_.sources, &items_.alphas}) {
      const auto found = links->find(item);
      if (found == links->end()) continue;
      for (const Item other : found->second) {
        const auto below = visit(other, above + 1);
        if (!below) return std::nullopt;
        extent.depth = std::max(extent.depth, below->depth + 1);
        extent.others = std::min(extent.others + 1 + below->others, kMaxPictures + 1);
      }
    }
    return known_.emplace(item, extent).first->second;
  }

 private:
  const Items& items_;
  std::unordered_map<Item, Extent> known_;
};

}  // namespace

Status check_structure(const Input& input) {
  const ImageFormat format = sniff(input.bytes);
  const std::string_view file = text_of(input.bytes);
  Items items;
  if (!read_file(file, items)) {
    return damaged(input, format, "its list of pictures is malformed");
  }
  for (const auto& [item, type] : items.types) {
    if (type != "grid"sv && type != "iovl"sv) continue;
    const auto size = size_of(type, beginning(file, items, item, 18));
    if (!size) return damaged(input, format, "it does not say how large a picture is");
    FASTVLM_RETURN_IF_ERROR(
        check_size(input, static_cast<int64_t>(size->width), static_cast<int64_t>(size->height)));
  }
  const auto is_there = [&](Item item) {
    const auto found = items.types.find(item);
    return found != items.types.end() && is_picture(found->second);
  };
  Walk walk(items);
  for (const auto& [item, type] : items.types) {
    const auto sources = items.sources.find(item);
    if (is_derived(type) && sources != items.sources.end() &&
        !std::all_of(sources->second.begin(), sources->second.end(), is_there)) {
      return damaged(input, format, "a picture in it is derived from one that is not there");
    }
    const auto extent = walk.visit(item);
    if (!extent || extent->depth > kMaxDepth) {
      return damaged(input, format,
                     cat("pictures in it are derived from each other in a circle or more than ",
                         kMaxDepth, " deep"));
    }
    if (extent->others > kMaxPictures) {
      return error(Code::kLimit,
                   cat(input.name, ": one picture is put together of more than ",
                       with_thousands(kMaxPictures), " others"),
                   "convert it to PNG or JPEG first");
    }
  }
  return {};
}

}  // namespace fastvlm::codec

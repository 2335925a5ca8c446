// SPDX-License-Identifier: Apache-2.0
#include "evaluate/gallery.h"

#include <nlohmann/json.hpp>
#include <span>
#include <string_view>

#include "caption/output.h"
#include "evaluate/page_data.h"
#include "evaluate/text_files.h"
#include "formats/atomic_file.h"
#include "image/thumbnail.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kThumbnailWidth = 260;

// Texts with something that nobody saw become lists of pieces, every second of which is that.
Status cut_at_unseen(Json& object) {
  const std::string line = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  FASTVLM_ASSIGN(const WrittenCaption caption, parse_caption(line, {.grounding = true}));
  if (!caption.unseen || caption.unseen->empty()) return {};
  object["pieces"] = cut_at_objects(caption.text, bodies_of(caption), *caption.unseen);
  for (auto& [key, text] : object["sections"].items()) {
    if (text.is_string()) text = cut_at_objects(text.get<std::string>(), {}, *caption.unseen);
  }
  return {};
}

}  // namespace

Status write_gallery(const std::filesystem::path& page, size_t count,
                     const std::function<Result<GalleryPicture>(size_t index)>& picture) {
  FASTVLM_ASSIGN(AtomicFile file, AtomicFile::create(page));
  const auto write = [&](std::string_view text) {
    return file.write(std::as_bytes(std::span(text)));
  };
  const std::string_view text = gallery_page_text();
  const size_t mark = text.find(kDataMark);
  FASTVLM_RETURN_IF_ERROR(write(text.substr(0, mark)));
  for (size_t i = 0; i < count; ++i) {
    FASTVLM_ASSIGN(const GalleryPicture each, picture(i));
    Json object = Json::parse(each.caption, nullptr, false);
    if (!object.is_object()) object = Json::object();
    if (object.contains("grounding")) FASTVLM_RETURN_IF_ERROR(cut_at_unseen(object));
    if (std::string small = thumbnail(each.file, kThumbnailWidth); !small.empty()) {
      object["picture"] = std::move(small);
    }
    const std::string json = object.dump(-1, ' ', false, Json::error_handler_t::replace);
    FASTVLM_RETURN_IF_ERROR(write((i == 0 ? "[" : ",\n") + for_script(json)));
  }
  FASTVLM_RETURN_IF_ERROR(write(count == 0 ? "[]" : "]"));
  FASTVLM_RETURN_IF_ERROR(write(text.substr(mark + kDataMark.size())));
  return file.commit();
}

}  // namespace fastvlm

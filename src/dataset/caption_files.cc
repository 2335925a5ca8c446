// SPDX-License-Identifier: Apache-2.0
#include "dataset/caption_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "base/strings.h"
#include "dataset/json_file.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr const char* kKnownForms =
    "give COCO captions, COCO results, LLaVA conversations or JSON lines of fastvlm caption "
    "(docs/CLI.md)";

// Where in the file something is wrong.
struct Place {
  std::string file;
  std::string where;  // "annotation 3", "line 7"

  Status wrong(const std::string& key, const std::string& expected, const json* found) const {
    const std::string text =
        found == nullptr ? "nothing" : found->dump(-1, ' ', false, json::error_handler_t::replace);
    return error(Code::kInvalid,
                 cat(file, ": ", where, ": key `", key, "`: expected ", expected, ", found ",
                     text.substr(0, 60)),
                 kKnownForms);
  }
};

const json* find(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<std::string> string_at(const json& object, const char* key, const Place& place) {
  const json* found = find(object, key);
  if (found == nullptr || !found->is_string()) return place.wrong(key, "a string", found);
  return found->get<std::string>();
}

// An image's id: a number, or a string that is not empty.
Result<std::string> id_at(const json& object, const char* key, const Place& place) {
  const json* found = find(object, key);
  if (found != nullptr && found->is_number_integer()) return found->dump();
  if (found != nullptr && found->is_string() && !found->get_ref<const std::string&>().empty()) {
    return found->get<std::string>();
  }
  return place.wrong(key, "a number or a name", found);
}

// Gathers the captions of a file by image.
class Collector {
 public:
  explicit Collector(std::string name) { file_.name = std::move(name); }

  ImageCaptions& image(const std::string& id) {
    const auto [found, added] = places_.try_emplace(id, file_.images.size());
    if (added) file_.images.push_back({id, {}, {}});
    return file_.images[found->second];
  }
  bool knows(const std::string& id) const { return places_.contains(id); }
  void add(ImageCaptions& image, std::string caption) {
    if (caption.find(kBadByte) != std::string::npos) file_.without_utf8.push_back(image.id);
    image.captions.push_back(std::move(caption));
  }
  const std::string& name() const { return file_.name; }
  CaptionFile take() { return std::move(file_); }

 private:
  CaptionFile file_;
  std::unordered_map<std::string, size_t> places_;
};

Status read_coco_images(const json& images, Collector& into) {
  for (size_t i = 0; i < images.size(); ++i) {
    const Place place{into.name(), cat("image ", i)};
    if (!images[i].is_object()) return place.wrong("images", "objects", &images[i]);
    FASTVLM_ASSIGN(const std::string id, id_at(images[i], "id", place));
    if (into.knows(id)) {
      return error(Code::kInvalid, cat(into.name(), ": image ", id, " comes twice in `images`"),
                   "remove one of them");
    }
    const json* file = find(images[i], "file_name");
    into.image(id).file = file != nullptr && file->is_string() ? file->get<std::string>() : "";
  }
  return {};
}

Status read_coco_captions(const json& object, Collector& into) {
  const json* images = find(object, "images");
  const json* annotations = find(object, "annotations");
  const Place top{into.name(), "top level"};
  if (images == nullptr || !images->is_array()) return top.wrong("images", "a list", images);
  if (annotations == nullptr || !annotations->is_array()) {
    return top.wrong("annotations", "a list", annotations);
  }
  FASTVLM_RETURN_IF_ERROR(read_coco_images(*images, into));
  for (size_t i = 0; i < annotations->size(); ++i) {
    const json& annotation = (*annotations)[i];
    const Place place{into.name(), cat("annotation ", i)};
    if (!annotation.is_object()) return place.wrong("annotations", "objects", &annotation);
    FASTVLM_ASSIGN(const std::string id, id_at(annotation, "image_id", place));
    FASTVLM_ASSIGN(std::string caption, string_at(annotation, "caption", place));
    if (!into.knows(id)) {
      return error(Code::kInvalid,
                   cat(into.name(), ": annotation ", i, ": image ", id, " is not in `images`"),
                   "add it there, or remove its captions");
    }
    into.add(into.image(id), std::move(caption));
  }
  return {};
}

Status read_result(const json& result, const Place& place, Collector& into) {
  FASTVLM_ASSIGN(const std::string id, id_at(result, "image_id", place));
  FASTVLM_ASSIGN(std::string caption, string_at(result, "caption", place));
  into.add(into.image(id), std::move(caption));
  return {};
}

// {"id", "image", "conversations": [{"from": "human", …}, {"from": "gpt", "value": caption}]}
Status read_conversation(const json& sample, const Place& place, Collector& into) {
  const json* turns = find(sample, "conversations");
  if (turns == nullptr || !turns->is_array()) return place.wrong("conversations", "a list", turns);
  const char* key = find(sample, "image") != nullptr ? "image" : "id";
  FASTVLM_ASSIGN(const std::string id, id_at(sample, key, place));
  for (const json& turn : *turns) {
    if (!turn.is_object() || turn.value("from", json()) != "gpt") continue;
    FASTVLM_ASSIGN(std::string caption, string_at(turn, "value", place));
    ImageCaptions& image = into.image(id);
    image.file = id;
    into.add(image, std::move(caption));
    return {};
  }
  return place.wrong("conversations", "a turn from `gpt`", turns);
}

Result<Tag> tag_of(const json& entry, const Place& place) {
  if (!entry.is_object() && !entry.is_string()) {
    return place.wrong("tags", "texts or objects with `label`", &entry);
  }
  Tag tag;
  if (entry.is_string()) {
    Result<Tag> parsed = parse_tag(entry.get_ref<const std::string&>());
    if (!parsed.ok()) return place.wrong("tags", "a text such as \"person (left)\"", &entry);
    return parsed;
  }
  FASTVLM_ASSIGN(tag.label, string_at(entry, "label", place));
  if (trimmed(tag.label).empty() || tag.label.find_first_of("\n\r") != std::string::npos) {
    return place.wrong("label", "one line that is not empty", &entry);
  }
  const json* position = find(entry, "position");
  if (position != nullptr && position->is_string()) tag.position = position->get<std::string>();
  return tag;
}

Status read_tag_list(const json& object, const Place& place, ImageCaptions& into) {
  const json* list = find(object, "tags");
  if (list == nullptr) return {};
  if (!list->is_array()) return place.wrong("tags", "a list", list);
  for (const json& entry : *list) {
    FASTVLM_ASSIGN(Tag tag, tag_of(entry, place));
    into.tags.push_back(std::move(tag));
  }
  return {};
}

// A line of `fastvlm caption --json`.
Status read_caption_object(const json& caption, const Place& place, Collector& into) {
  FASTVLM_ASSIGN(const std::string name, string_at(caption, "image", place));
  FASTVLM_ASSIGN(std::string text, string_at(caption, "text", place));
  ImageCaptions& image = into.image(name);
  image.file = name;
  FASTVLM_RETURN_IF_ERROR(read_tag_list(caption, place, image));
  const json* reason = find(caption, "finish_reason");
  if (reason != nullptr && reason->is_string()) image.finish_reason = reason->get<std::string>();
  into.add(image, std::move(text));
  return {};
}

Status read_entry(const json& entry, const Place& place, Collector& into) {
  if (!entry.is_object()) return place.wrong("", "an object", &entry);
  if (entry.contains("image_id")) return read_result(entry, place, into);
  if (entry.contains("conversations")) return read_conversation(entry, place, into);
  return read_caption_object(entry, place, into);
}

Status read_tag_entry(const json& entry, const Place& place, Collector& into) {
  if (!entry.is_object()) return place.wrong("", "an object", &entry);
  const char* key = entry.contains("image_id") ? "image_id" : "image";
  FASTVLM_ASSIGN(const std::string id, id_at(entry, key, place));
  if (find(entry, "tags") == nullptr) return place.wrong("tags", "a list", nullptr);
  return read_tag_list(entry, place, into.image(id));
}

// Calls fn(entry, place) for each entry of a list, or each line.
template <typename Function>
Status for_each_entry(const JsonFile& file, const std::string& name, const Function& fn) {
  const bool list = !file.lines && file.values[0].is_array();
  const std::vector<json>& entries =
      list ? file.values[0].get_ref<const json::array_t&>() : file.values;
  if (entries.empty()) {
    return error(Code::kInvalid, cat(name, ": expected entries, found an empty list"), kKnownForms);
  }
  for (size_t i = 0; i < entries.size(); ++i) {
    const Place place{name, list ? cat("entry ", i) : cat("line ", i + 1)};
    FASTVLM_RETURN_IF_ERROR(fn(entries[i], place));
  }
  return {};
}

Result<CaptionFile> captions_of(const JsonFile& file, const std::string& name) {
  Collector into(name);
  if (!file.lines && file.values[0].is_object() && file.values[0].contains("annotations")) {
    FASTVLM_RETURN_IF_ERROR(read_coco_captions(file.values[0], into));
    return into.take();
  }
  FASTVLM_RETURN_IF_ERROR(for_each_entry(
      file, name,
      [&into](const json& entry, const Place& place) { return read_entry(entry, place, into); }));
  return into.take();
}

}  // namespace

Result<CaptionFile> read_captions(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const JsonFile file, read_json_or_lines(path));
  return captions_of(file, path.string());
}

Result<CaptionFile> parse_captions(std::string_view text, const std::string& name) {
  FASTVLM_ASSIGN(const JsonFile file, parse_json_or_lines(text, name));
  return captions_of(file, name);
}

Result<CaptionFile> read_tags(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const JsonFile file, read_json_or_lines(path));
  Collector into(path.string());
  FASTVLM_RETURN_IF_ERROR(
      for_each_entry(file, path.string(), [&into](const json& entry, const Place& place) {
        return read_tag_entry(entry, place, into);
      }));
  return into.take();
}

}  // namespace fastvlm

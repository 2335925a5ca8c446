// SPDX-License-Identifier: Apache-2.0
#include "dataset/instances.h"

#include "base/strings.h"
#include "dataset/json_file.h"

namespace fastvlm {
namespace {

using nlohmann::json;

struct Category {
  std::string name;
  std::string group;
};
using Categories = std::unordered_map<std::string, Category>;

Status wrong(const std::filesystem::path& path, const std::string& where,
             const std::string& expected) {
  return error(Code::kInvalid, cat(path.string(), ": ", where, ": expected ", expected),
               "give COCO's instances_*.json");
}

// Inside `file`, for the annotations of a large set take more memory than anything else.
Result<const json*> list_at(const json& file, const char* key, const std::filesystem::path& path) {
  const auto list = file.is_object() ? file.find(key) : file.end();
  if (list == file.end() || !list->is_array()) {
    return wrong(path, cat("key `", key, "`"), "a list");
  }
  return &*list;
}

// The number at `key`, or -1.
double number(const json& object, const char* key) {
  const json value = object.value(key, json());
  return value.is_number() ? value.get<double>() : -1;
}

std::string id_of(const json& object, const char* key) {
  const json value = object.value(key, json());
  return value.is_string() ? value.get<std::string>() : value.dump();
}

Result<Categories> read_categories(const json& list, const std::filesystem::path& path) {
  Categories categories;
  for (const json& entry : list) {
    const json name = entry.is_object() ? entry.value("name", json()) : json();
    if (!name.is_string()) return wrong(path, "key `categories`", "objects with `id` and `name`");
    const json group = entry.value("supercategory", json());
    categories[id_of(entry, "id")] = {name, group.is_string() ? group.get<std::string>() : ""};
  }
  return categories;
}

Status read_object(const json& entry, const Categories& categories, const std::string& where,
                   const std::filesystem::path& path, Instances& into) {
  if (!entry.is_object()) return wrong(path, where, "an object");
  const auto image = into.find(id_of(entry, "image_id"));
  if (image == into.end()) return wrong(path, where, "an `image_id` that stands in `images`");
  const auto category = categories.find(id_of(entry, "category_id"));
  if (category == categories.end()) {
    return wrong(path, where, "a `category_id` that stands in `categories`");
  }
  const json box = entry.value("bbox", json());
  if (!box.is_array() || box.size() != 4) return wrong(path, where, "a `bbox` of four numbers");
  for (const json& side : box) {
    if (!side.is_number()) return wrong(path, where, "a `bbox` of four numbers");
  }
  const double area = number(entry, "area");
  image->second.objects.push_back({category->second.name, category->second.group, box[0], box[1],
                                   box[2], box[3], number(entry, "iscrowd") > 0,
                                   area < 0 ? box[2].get<double>() * box[3].get<double>() : area});
  return {};
}

}  // namespace

Result<Instances> read_instances(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const json file, read_json(path));
  FASTVLM_ASSIGN(const json* images, list_at(file, "images", path));
  FASTVLM_ASSIGN(const json* annotation_list, list_at(file, "annotations", path));
  FASTVLM_ASSIGN(const json* category_list, list_at(file, "categories", path));
  FASTVLM_ASSIGN(const Categories categories, read_categories(*category_list, path));
  const json& annotations = *annotation_list;
  Instances instances;
  for (const json& image : *images) {
    if (!image.is_object() || !image.contains("id")) {
      return wrong(path, "key `images`", "objects with `id`");
    }
    const json name = image.value("file_name", json());
    instances[id_of(image, "id")] = {number(image, "width"),
                                     number(image, "height"),
                                     {},
                                     name.is_string() ? name.get<std::string>() : ""};
  }
  std::unordered_map<std::string, size_t> first_of;
  for (size_t i = 0; i < annotations.size(); ++i) {
    if (annotations[i].is_object() && annotations[i].contains("id")) {
      const auto [first, is_new] = first_of.emplace(id_of(annotations[i], "id"), i);
      if (!is_new) {
        return error(Code::kInvalid,
                     cat(path.string(), ": annotation ", i, ": has the id ", first->first,
                         " of annotation ", first->second),
                     "take doubled annotations out: an object would count twice");
      }
    }
    FASTVLM_RETURN_IF_ERROR(
        read_object(annotations[i], categories, cat("annotation ", i), path, instances));
  }
  return instances;
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "dataset/builder.h"

#include <algorithm>
#include <set>

#include "base/file_digest.h"
#include "base/strings.h"
#include "dataset/picture_file.h"
#include "dataset/placement.h"

namespace fastvlm {
namespace {

constexpr double kLeastTagShare = 0.002;  // of the frame; a small detector finds little below it
constexpr size_t kMostTags = 20;

}  // namespace

Result<PictureChoice> choose_pictures(const std::vector<CocoPicture>& pictures,
                                      const ChooseOptions& options) {
  std::vector<std::string> ids;
  for (const CocoPicture& picture : pictures) ids.push_back(picture.id);
  PictureChoice choice;
  std::set<std::string> seen;
  for (const size_t i : seeded_order(ids, options.seed)) {
    if (options.limit && choice.pictures.size() >= *options.limit) break;
    const CocoPicture& picture = pictures[i];
    const std::filesystem::path path = picture_file(options.images, picture.file);
    if (path.empty()) {
      ++choice.missing;
      continue;
    }
    if (options.need_captions && picture.captions.empty()) {
      ++choice.without_captions;
      continue;
    }
    FASTVLM_ASSIGN(std::string sha256, sha256_of_file(path));
    if (!seen.insert(sha256).second) {
      ++choice.doubled;
      continue;
    }
    choice.pictures.push_back({picture, path,
                               path.lexically_relative(options.images).generic_string(),
                               std::move(sha256), 0});
  }
  if (choice.pictures.empty()) {
    return error(
        Code::kNotFound,
        cat(options.images.string(), ": expected pictures of the annotations, found ",
            choice.without_captions > 0 ? "none with captions" : "none", " of ", pictures.size()),
        "name the folder that holds the files, and the annotations that belong to them");
  }
  const std::vector<size_t> splits = splits_in_order(choice.pictures.size(), options.shares);
  for (size_t i = 0; i < splits.size(); ++i) choice.pictures[i].split = splits[i];
  return choice;
}

std::vector<Tag> tags_of_annotations(const CocoPicture& picture) {
  const Frame frame{picture.width, picture.height};
  std::vector<const Instance*> objects;
  for (const Instance& object : picture.objects) {
    if (!object.crowd && share_of(object, frame) >= kLeastTagShare) objects.push_back(&object);
  }
  std::stable_sort(objects.begin(), objects.end(),
                   [](const Instance* a, const Instance* b) { return a->area > b->area; });
  if (objects.size() > kMostTags) objects.resize(kMostTags);
  std::vector<Tag> tags;
  for (const Instance* object : objects) {
    tags.push_back({object->kind,
                    std::string(horizontal_third(object->x + object->width / 2, frame.width)),
                    std::nullopt});
  }
  return tags;
}

DatasetSample question_sample(const ChosenPicture& chosen, const std::vector<Tag>& tags,
                              std::string_view prompt) {
  return {chosen.picture.id, chosen.image, human_turn(tags, prompt), ""};
}

}  // namespace fastvlm

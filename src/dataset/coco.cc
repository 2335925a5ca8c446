// SPDX-License-Identifier: Apache-2.0
#include "dataset/coco.h"

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "base/strings.h"
#include "dataset/caption_files.h"

namespace fastvlm {

Result<std::vector<CocoPicture>> read_coco(const std::filesystem::path& instances,
                                           const std::filesystem::path& captions) {
  FASTVLM_ASSIGN(Instances images, read_instances(instances));
  std::unordered_map<std::string, std::vector<std::string>> captions_of;
  if (!captions.empty()) {
    FASTVLM_ASSIGN(CaptionFile file, read_captions(captions));
    for (ImageCaptions& image : file.images) captions_of[image.id] = std::move(image.captions);
  }
  std::vector<CocoPicture> pictures;
  for (auto& [id, image] : images) {
    pictures.push_back({id, image.file.empty() ? id + ".jpg" : image.file, image.width,
                        image.height, std::move(captions_of[id]), std::move(image.objects)});
  }
  if (pictures.empty()) {
    return error(Code::kInvalid,
                 cat(instances.string(), ": key `images`: expected pictures, found none"),
                 "give COCO's instances_*.json");
  }
  std::sort(pictures.begin(), pictures.end(), [](const CocoPicture& a, const CocoPicture& b) {
    return std::tie(a.file, a.id) < std::tie(b.file, b.id);
  });
  return pictures;
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// What the sources of a picture say, put in order for writing about it. Internal to dataset/.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "dataset/coco.h"
#include "dataset/placement.h"

namespace fastvlm {

// The objects of one kind.
struct KindGroup {
  std::string kind;                      // "person"
  std::string name;                      // as the captions call one of them: "woman"
  std::vector<const Instance*> objects;  // without crowds, the largest first
  bool crowd = false;                    // there is a crowd besides

  // "the woman", "the larger of the two dogs", "the largest of the dogs".
  std::string the_largest() const;
  std::string any_one() const;     // "the woman", "one of the dogs"
  std::string plain_name() const;  // the kind's own: "TV"
  const Instance& largest() const { return *objects.front(); }
};

struct CocoScene {
  Frame frame;
  std::vector<std::string> sentences;           // the captions, the most typical first
  std::vector<std::vector<std::string>> words;  // of each of them, in small letters
  std::vector<KindGroup> groups;                // the main one first, then by size
  std::vector<std::string> crowds;              // kinds of which there is nothing but a crowd
};

CocoScene scene_from(const CocoPicture& picture);

}  // namespace fastvlm

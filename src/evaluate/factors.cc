// SPDX-License-Identifier: Apache-2.0
#include "evaluate/factors.h"

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "dataset/json_file.h"

namespace fastvlm {
namespace {

using Names = std::set<std::string>;

const Names kIndoorGroups = {"furniture", "kitchen", "electronic", "appliance", "indoor", "food"};
const Names kOutdoorGroups = {"vehicle", "outdoor"};
const Names kOutdoorKinds = {"kite",  "skis",    "snowboard", "surfboard", "frisbee",
                             "horse", "sheep",   "cow",       "elephant",  "bear",
                             "zebra", "giraffe", "bird",      "skateboard"};
const Names kStreetFurniture = {"traffic light", "fire hydrant", "stop sign", "parking meter"};
const Names kRoadVehicles = {"car", "bus", "truck", "motorcycle", "bicycle"};

constexpr double kCloseUpShare = 0.5;    // of the frame, by one object's box
constexpr double kOccludedShare = 0.25;  // of the smaller of two boxes, under the other

double overlap(const Instance& a, const Instance& b) {
  const double width = std::min(a.x + a.width, b.x + b.width) - std::max(a.x, b.x);
  const double height = std::min(a.y + a.height, b.y + b.height) - std::max(a.y, b.y);
  return width > 0 && height > 0 ? width * height : 0;
}

bool any_occluded(const std::vector<Instance>& objects) {
  for (size_t i = 0; i < objects.size(); ++i) {
    for (size_t j = i + 1; j < objects.size(); ++j) {
      const double smaller =
          std::min(objects[i].width * objects[i].height, objects[j].width * objects[j].height);
      if (smaller > 0 && overlap(objects[i], objects[j]) > kOccludedShare * smaller) return true;
    }
  }
  return false;
}

template <typename Predicate>
long count(const std::vector<Instance>& objects, const Predicate& is) {
  return std::count_if(objects.begin(), objects.end(), is);
}

}  // namespace

const std::vector<std::string>& factor_names() {
  static const std::vector<std::string> kNames = {
      "single_object", "many_objects", "indoor", "outdoor",  "density_low", "density_medium",
      "density_high",  "animals",      "street", "close_up", "occlusion"};
  return kNames;
}

std::vector<std::string> factors_of(const ImageInstances& image) {
  std::vector<std::string> factors;
  const std::vector<Instance>& objects = image.objects;
  const auto add_if = [&factors](bool holds, const char* name) {
    if (holds) factors.emplace_back(name);
  };
  add_if(objects.size() == 1, "single_object");
  add_if(objects.size() > 1, "many_objects");
  const long inside =
      count(objects, [](const Instance& o) { return kIndoorGroups.contains(o.group); });
  const long outside = count(objects, [](const Instance& o) {
    return kOutdoorGroups.contains(o.group) || kOutdoorKinds.contains(o.kind);
  });
  add_if(inside > outside, "indoor");
  add_if(outside > inside, "outdoor");
  add_if(objects.size() <= 3, "density_low");
  add_if(objects.size() > 3 && objects.size() < 10, "density_medium");
  add_if(objects.size() >= 10, "density_high");
  add_if(count(objects, [](const Instance& o) { return o.group == "animal"; }) > 0, "animals");
  const long furniture =
      count(objects, [](const Instance& o) { return kStreetFurniture.contains(o.kind); });
  const long vehicles =
      count(objects, [](const Instance& o) { return kRoadVehicles.contains(o.kind); });
  add_if(furniture > 0 || vehicles >= 2, "street");
  const double frame = image.width * image.height;
  add_if(count(objects,
               [frame](const Instance& o) {
                 return !o.crowd && o.width * o.height >= kCloseUpShare * frame;
               }) > 0,
         "close_up");
  add_if(any_occluded(objects), "occlusion");
  return factors;
}

Result<Factors> read_factors(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const nlohmann::json file, read_json(path));
  const auto wrong = [&path](const std::string& key) {
    return error(Code::kInvalid,
                 cat(path.string(), ": key `", key, "`: expected a list of factor names"),
                 R"(write {"391895": ["indoor", "close_up"]})");
  };
  if (!file.is_object()) return wrong("");
  Factors factors;
  for (const auto& [id, names] : file.items()) {
    if (!names.is_array()) return wrong(id);
    for (const nlohmann::json& name : names) {
      if (!name.is_string()) return wrong(id);
      factors[id].push_back(name.get<std::string>());
    }
    factors.try_emplace(id);
  }
  return factors;
}

}  // namespace fastvlm

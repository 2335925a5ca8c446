// SPDX-License-Identifier: Apache-2.0
#include "cli/detection_scores.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <iomanip>
#include <set>
#include <sstream>

#include "base/strings.h"

namespace fastvlm::cli {
namespace {

struct Row {
  const char* key;
  const char* title;
  double AveragePrecision::*score;
};
constexpr std::array<Row, 7> kRows = {
    {{"map_50_95", "mAP at IoU 0.50 to 0.95", &AveragePrecision::mean},
     {"map_50", "mAP at IoU 0.50", &AveragePrecision::at_50},
     {"map_75", "mAP at IoU 0.75", &AveragePrecision::at_75},
     {"map_small", "  objects below 32x32 pixels", &AveragePrecision::small},
     {"map_medium", "  32x32 to 96x96", &AveragePrecision::medium},
     {"map_large", "  above", &AveragePrecision::large},
     {"recall", "recall with 100 boxes", &AveragePrecision::recall}}};

}  // namespace

std::string coco_id(const std::string& picture) {
  std::string stem = std::filesystem::path(picture).stem().string();
  const bool number = !stem.empty() && std::all_of(stem.begin(), stem.end(), [](unsigned char c) {
    return std::isdigit(c) != 0;
  });
  if (number) stem.erase(0, std::min(stem.find_first_not_of('0'), stem.size() - 1));
  return stem;
}

Status check_coco_ids(const std::string& option, const std::vector<std::string>& pictures) {
  std::map<std::string, std::string> seen;
  for (const std::string& picture : pictures) {
    const auto [first, is_new] = seen.emplace(coco_id(picture), picture);
    if (is_new) continue;
    return error(
        Code::kUsage,
        cat(option, ": ", first->second, " and ", picture, " have one image id, ", first->first),
        "ids are names without folder, extension and leading zeros, as annotations have "
        "them; look at such pictures in two runs, or rename one");
  }
  return {};
}

Result<DetectionScores> DetectionScores::open(const std::string& instances,
                                              const Detector& detector) {
  DetectionScores scores;
  scores.file_ = instances;
  FASTVLM_ASSIGN(scores.instances_, read_instances(instances));
  for (auto& [id, image] : scores.instances_) {
    scores.left_out_ += std::erase_if(image.objects, [](const Instance& object) {
      return !(object.width > 0 && object.height > 0);
    });
  }
  const auto& names = detector.names();
  const std::set<std::string> known(names.begin(), names.end());
  for (const auto& [id, image] : scores.instances_) {
    for (const Instance& object : image.objects) {
      if (known.contains(object.kind)) return scores;
    }
  }
  return error(Code::kInvalid,
               cat(instances, ": annotates no object of the ", names.size(), " classes of ",
                   detector.kind()),
               "the categories must have the names of the detector's classes");
}

Status DetectionScores::add(const std::string& picture, const std::vector<Detection>& detections) {
  const std::string id = coco_id(picture);
  const auto truth = instances_.find(id);
  if (truth == instances_.end()) {
    return error(Code::kInvalid, cat(picture, ": no image `", id, "` in ", file_),
                 "name only pictures that the file annotates");
  }
  DetectionImage image{truth->second.objects, {}};
  for (const Detection& d : detections) {
    const double x = d.box.x0;
    const double y = d.box.y0;
    image.predicted.push_back({d.label, d.confidence, x, y, d.box.x1 - x, d.box.y1 - y});
  }
  // Padded, so that numbers are in rising order.
  images_.insert_or_assign(std::string(20 - std::min<size_t>(20, id.size()), '0') + id,
                           std::move(image));
  return {};
}

AveragePrecision DetectionScores::scored() const {
  std::vector<DetectionImage> images;
  for (const auto& [id, image] : images_) images.push_back(image);
  return average_precision(images);
}

std::string DetectionScores::text() const {
  const AveragePrecision score = scored();
  std::ostringstream out;
  out << images_.size() << " images, " << score.objects << " objects of " << score.kinds
      << " kinds\n"
      << std::fixed << std::setprecision(3);
  for (const Row& row : kRows) {
    out << std::left << std::setw(30) << row.title << std::right;
    const double value = score.*row.score;
    if (value < 0) {
      out << "    -\n";
    } else {
      out << value << '\n';
    }
  }
  return out.str();
}

nlohmann::ordered_json DetectionScores::json() const {
  const AveragePrecision score = scored();
  nlohmann::ordered_json object = {
      {"images", images_.size()}, {"objects", score.objects}, {"kinds", score.kinds}};
  for (const Row& row : kRows) {
    const double value = score.*row.score;
    object[row.key] = value < 0 ? nlohmann::ordered_json() : nlohmann::ordered_json(value);
  }
  return object;
}

}  // namespace fastvlm::cli

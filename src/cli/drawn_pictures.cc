// SPDX-License-Identifier: Apache-2.0
#include "cli/drawn_pictures.h"

#include <iomanip>
#include <sstream>

#include "base/strings.h"
#include "cli/outputs.h"
#include "formats/atomic_file.h"
#include "image/draw.h"
#include "image/encode.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;

bool is_jpeg(const std::string& picture) {
  const std::string extension = lower_case(fs::path(picture).extension().string());
  return extension == ".jpg" || extension == ".jpeg";
}

}  // namespace

fs::path drawn_name(const std::string& picture) {
  return fs::path(picture).stem().concat(is_jpeg(picture) ? ".jpg" : ".png");
}

Status check_drawing(const fs::path& folder, const std::vector<std::string>& pictures) {
  FASTVLM_RETURN_IF_ERROR(check_folder_of_outputs("--draw", folder, pictures, drawn_name));
  for (const std::string& picture : pictures) {
    fs::path place = fs::path(picture).parent_path();
    if (place.empty()) place = ".";
    if (std::error_code failed; fs::equivalent(place, folder, failed)) {
      return error(Code::kUsage, cat("--draw ", folder.string(), ": holds ", picture, " itself"),
                   "give another folder, so that no picture is written over");
    }
  }
  return {};
}

Status write_drawn(const fs::path& folder, const std::string& picture, Image image,
                   const std::vector<Detection>& detections) {
  std::vector<LabelledBox> boxes;
  for (const Detection& d : detections) {
    std::ostringstream label;
    label << printable(d.label) << ' ' << std::fixed << std::setprecision(2) << d.confidence;
    boxes.push_back({d.box.x0, d.box.y0, d.box.x1, d.box.y1, label.str(), d.class_id});
  }
  draw_boxes(image, boxes);
  const fs::path file = folder / drawn_name(picture);
  FASTVLM_ASSIGN(const std::string bytes, is_jpeg(picture) ? encode_jpeg(image, file.string())
                                                           : encode_png(image, file.string()));
  return write_file_atomically(file, bytes);
}

}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
#include "evaluate/report.h"

#include <nlohmann/json.hpp>

#include "dataset/picture_file.h"
#include "evaluate/evaluation_json.h"
#include "evaluate/page_data.h"
#include "evaluate/text_files.h"
#include "image/thumbnail.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kReportThumbnailWidth = 220;

}  // namespace

std::string html_report(const Evaluation& evaluation, const std::filesystem::path& pictures) {
  Json data = Json::parse(to_json(evaluation));
  for (size_t i = 0; i < evaluation.set.images.size(); ++i) {
    const EvaluatedImage& image = evaluation.set.images[i];
    data["images"][i]["references"] = image.references;
    if (pictures.empty()) continue;
    std::string picture = thumbnail(picture_file(pictures, image.name()), kReportThumbnailWidth);
    if (!picture.empty()) data["images"][i]["picture"] = std::move(picture);
  }
  std::string page(report_page_text());
  const std::string json = for_script(data.dump(-1, ' ', false, Json::error_handler_t::replace));
  return page.replace(page.find(kDataMark), kDataMark.size(), json);
}

}  // namespace fastvlm

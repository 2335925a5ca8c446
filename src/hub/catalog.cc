// SPDX-License-Identifier: Apache-2.0
#include "hub/catalog.h"

#include <algorithm>
#include <cctype>

#include "hub/http.h"

namespace fastvlm {
namespace {

constexpr const char* kAppleLicense =
    "Apple Machine Learning Research Model licence (apple-amlr): research use only, see "
    "LICENSE_MODEL at "
    "https://github.com/apple/ml-fastvlm";
constexpr const char* kYoloLicense =
    "AGPL-3.0 (Ultralytics): a program or service that uses these weights may fall under it, see "
    "https://ultralytics.com/license";

std::string apple_zip(const char* file) {
  return cat("https://ml-site.cdn-apple.com/datasets/fastvlm/", file, ".zip");
}
std::string yolo_file(const char* file) {
  return cat("https://github.com/ultralytics/assets/releases/download/v8.3.0/", file, ".pt");
}

std::vector<ModelSource> make_catalog() {
  std::vector<ModelSource> models = {
      {"fastvlm-0.5b", "apple/FastVLM-0.5B", "", "", kAppleLicense,
       "Apple's FastVLM 0.5B, stage 3"},
      {"fastvlm-1.5b", "apple/FastVLM-1.5B", "", "", kAppleLicense,
       "Apple's FastVLM 1.5B, stage 3"},
      {"fastvlm-7b", "apple/FastVLM-7B", "", "", kAppleLicense, "Apple's FastVLM 7B, stage 3"},
      {"fastvlm-0.5b-captions", "riddhimanrana/fastvlm-0.5b-captions", "", "apple/FastVLM-0.5B",
       "the fine-tune names its own terms; its base and tower: apple-amlr, research use only",
       "FastVLM 0.5B tuned on seven-point captions, MLX 4-bit; the tower comes from "
       "apple/FastVLM-0.5B"},
  };
  for (const char* size : {"0.5b", "1.5b", "7b"}) {
    for (const char* stage : {"stage2", "stage3"}) {
      const std::string file = cat("llava-fastvithd_", size, "_", stage);
      models.push_back({file, "", apple_zip(file.c_str()), "", kAppleLicense,
                        cat("Apple's own archive of FastVLM ", size, ", ", stage)});
    }
  }
  for (const char* size : {"n", "s", "m", "l", "x"}) {
    const std::string file = cat("yolo11", size);
    models.push_back({file, "", yolo_file(file.c_str()), "", kYoloLicense,
                      cat("YOLO11", size, " object detector for tags")});
  }
  return models;
}

bool is_plain(std::string_view text) {
  return !text.empty() && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
         });
}

std::string file_stem(std::string_view url) {
  std::string_view path = url.substr(0, url.find_first_of("?#"));
  std::string_view file = path.substr(path.rfind('/') + 1);
  return std::string(file.substr(0, file.rfind('.')));
}

}  // namespace

bool is_repository(std::string_view text) {
  const size_t slash = text.find('/');
  return slash != std::string_view::npos && is_plain(text.substr(0, slash)) &&
         is_plain(text.substr(slash + 1));
}

std::span<const ModelSource> model_catalog() {
  static const std::vector<ModelSource> kCatalog = make_catalog();
  return kCatalog;
}

Result<ModelSource> find_source(std::string_view name_or_url, std::string_view hub) {
  const std::string wanted = lower_case(name_or_url);
  for (const ModelSource& model : model_catalog()) {
    if (wanted == model.name ||
        (!model.repository.empty() && wanted == lower_case(model.repository)))
      return model;
  }
  ModelSource source;
  std::string_view rest = name_or_url;
  if (rest.find("://") != std::string_view::npos) {
    FASTVLM_RETURN_IF_ERROR(check_url(std::string(rest)));
    if (const std::string page = cat(hub, "/");
        rest.starts_with(page) && is_repository(rest.substr(page.size()))) {
      return find_source(rest.substr(page.size()), hub);
    }
    source.url = rest;
    source.name = file_stem(rest);
    if (!is_plain(source.name)) {
      return error(Code::kUsage,
                   cat(rest, ": expected the address of a file or of a model repository"),
                   "a file's address ends in its name, such as model.safetensors or model.zip");
    }
    const std::string_view file = rest.substr(0, rest.find_first_of("?#"));
    if (!file.ends_with(".safetensors") && !file.ends_with(".zip")) {
      return error(Code::kUsage, cat(rest, ": expected a .safetensors or .zip file"),
                   "give the address of the file itself, not of the page that shows it");
    }
    return source;
  }
  if (is_repository(rest)) {
    source.repository = rest;
    source.name = lower_case(rest.substr(rest.find('/') + 1));
    return source;
  }
  std::string names;
  for (const ModelSource& model : model_catalog())
    names += (names.empty() ? "" : ", ") + model.name;
  return error(Code::kNotFound, cat("`", rest, "` is not a model that is known by name"),
               cat("known: ", names, "; or write owner/repository or an https:// address"));
}

}  // namespace fastvlm

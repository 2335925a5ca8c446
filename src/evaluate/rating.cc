// SPDX-License-Identifier: Apache-2.0
#include "evaluate/rating.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/sha256.h"
#include "base/strings.h"
#include "dataset/caption_files.h"
#include "dataset/json_file.h"
#include "dataset/picture_file.h"
#include "formats/atomic_file.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr const char* kRatingsFile = "ratings.jsonl";

bool is_caption_file(const std::filesystem::path& path) {
  const std::string ending = path.extension();
  return (ending == ".json" || ending == ".jsonl") && path.filename() != kRatingsFile;
}

Result<std::vector<std::filesystem::path>> caption_files(const std::filesystem::path& folder) {
  std::error_code problem;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, problem)) {
    if (is_caption_file(entry.path())) files.push_back(entry.path());
  }
  if (problem || files.empty()) {
    return error(Code::kNotFound, cat(folder.string(), ": expected files of captions, found none"),
                 "put one .jsonl of `fastvlm caption --json` a model there, with the pictures");
  }
  std::sort(files.begin(), files.end());
  return files;
}

Result<Rating> rating_of(const json& line, const std::string& where) {
  Rating rating;
  bool good = line.is_object();
  const auto text = [&](const char* key) {
    const json value = good ? line.value(key, json()) : json();
    good = good && value.is_string();
    return good ? value.get<std::string>() : std::string();
  };
  rating.rater = text("rater");
  rating.model = text("model");
  rating.image = text("image");
  for (size_t i = 0; i < kQuestionCount; ++i) {
    const std::string key(question_name(static_cast<Question>(i)));
    const json value = good ? line.value(key, json(0)) : json();
    good = good && value.is_number_integer() && value >= 0 && value <= kHighestRating;
    if (good) rating.answers[i] = value.get<int>();
  }
  if (good) return rating;
  return error(Code::kInvalid,
               cat(where, ": expected rater, model, image and ratings of 0 to ", kHighestRating),
               "move the damaged file away, or correct it");
}

}  // namespace

std::string_view question_name(Question question) {
  static constexpr std::array<std::string_view, kQuestionCount> kNames = {"completeness",
                                                                          "structure", "accuracy"};
  return kNames[static_cast<size_t>(question)];
}

Result<RatingStudy> RatingStudy::open(const std::filesystem::path& folder) {
  RatingStudy study;
  study.folder_ = folder;
  FASTVLM_ASSIGN(const auto files, caption_files(folder));
  for (const std::filesystem::path& path : files) {
    FASTVLM_ASSIGN(const CaptionFile captions, read_captions(path));
    for (const ImageCaptions& image : captions.images) {
      if (image.captions.empty()) continue;
      const std::string& picture = image.file.empty() ? image.id : image.file;
      study.items_.push_back(
          {path.stem().string(), image.id, picture_file(folder, picture), image.captions[0]});
    }
  }
  FASTVLM_RETURN_IF_ERROR(study.load_ratings());
  return study;
}

Status RatingStudy::load_ratings() {
  const std::filesystem::path path = folder_ / kRatingsFile;
  if (!std::filesystem::exists(path)) return {};
  FASTVLM_ASSIGN(const JsonFile file, read_json_or_lines(path));
  for (size_t i = 0; i < file.values.size(); ++i) {
    FASTVLM_ASSIGN(Rating rating, rating_of(file.values[i], cat(path.string(), ": line ", i + 1)));
    ratings_.push_back(std::move(rating));
  }
  return {};
}

Status RatingStudy::save() const {
  std::string lines;
  for (const Rating& rating : ratings_) {
    nlohmann::ordered_json line = {
        {"rater", rating.rater}, {"model", rating.model}, {"image", rating.image}};
    for (size_t i = 0; i < kQuestionCount; ++i) {
      line[std::string(question_name(static_cast<Question>(i)))] = rating.answers[i];
    }
    lines += line.dump(-1, ' ', false, json::error_handler_t::replace);
    lines += '\n';
  }
  return write_file_atomically(folder_ / kRatingsFile, lines);
}

std::vector<size_t> RatingStudy::order_for(std::string_view rater) const {
  std::vector<std::string> keys;
  for (const RatingItem& item : items_) {
    keys.push_back(sha256_hex(cat(rater, '\n', item.image, '\n', item.model)));
  }
  std::vector<size_t> order(items_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&keys](size_t a, size_t b) { return keys[a] < keys[b]; });
  return order;
}

const Rating* RatingStudy::find(std::string_view rater, size_t item) const {
  const auto found = std::find_if(ratings_.begin(), ratings_.end(), [&](const Rating& rating) {
    return rating.rater == rater && rating.model == items_[item].model &&
           rating.image == items_[item].image;
  });
  return found == ratings_.end() ? nullptr : &*found;
}

Status RatingStudy::answer(const std::string& rater, size_t item, Question question, int value) {
  if (rater.empty() || item >= items_.size() || value < 1 || value > kHighestRating) {
    return error(Code::kUsage, "expected a rater's name, an item and a rating of 1 to 5");
  }
  const Rating* known = find(rater, item);
  if (known == nullptr) {
    ratings_.push_back({rater, items_[item].model, items_[item].image, {}});
    known = &ratings_.back();
  }
  ratings_[static_cast<size_t>(known - ratings_.data())].answers[static_cast<size_t>(question)] =
      value;
  return save();
}

}  // namespace fastvlm

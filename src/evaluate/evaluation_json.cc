// SPDX-License-Identifier: Apache-2.0
#include "evaluate/evaluation_json.h"

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

std::string dumped(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

// A number where the id is one, as COCO writes it.
Json id_json(const std::string& id) {
  int64_t number = 0;
  const auto [end, problem] = std::from_chars(id.data(), id.data() + id.size(), number);
  const bool whole = problem == std::errc() && end == id.data() + id.size();
  return whole && std::to_string(number) == id ? Json(number) : Json(id);
}

Json values_json(const MetricValues& values) {
  Json object = Json::object();
  for (const Metric metric : kAllMetrics) {
    const auto& value = values[static_cast<size_t>(metric)];
    if (value) object[std::string(metric_name(metric))] = *value;
  }
  return object;
}

Json corpus_json(const Evaluation& evaluation) {
  Json object = {{"images", evaluation.scores.size()}};
  object.update(values_json(evaluation.scores.corpus()));
  if (!evaluation.scores.meteor_modules().empty()) {
    object["METEOR_modules"] = evaluation.scores.meteor_modules();
  }
  if (object.contains("CIDEr")) {
    object["CIDEr_document_frequencies"] = evaluation.saved_frequencies ? "saved" : "of this set";
  }
  return object;
}

Json interval_json(const Interval& interval) {
  return Json::array({interval.low, interval.high});
}

Json intervals_json(const MetricIntervals& intervals) {
  Json object = Json::object();
  for (const Metric metric : kAllMetrics) {
    const auto& interval = intervals[static_cast<size_t>(metric)];
    if (interval) object[std::string(metric_name(metric))] = interval_json(*interval);
  }
  return object;
}

Json counts_json(const GroundingCounts& counts) {
  return {{"CHAIR_i", counts.chair_i()},
          {"CHAIR_s", counts.chair_s()},
          {"recall", counts.recall()},
          {"tags_used", counts.tag_use()},
          {"captions", counts.captions},
          {"mentions", counts.mentions},
          {"hallucinated", counts.hallucinated},
          {"objects", counts.objects},
          {"recalled", counts.recalled},
          {"tags", counts.tags},
          {"tags_contradicted", counts.tags_contradicted},
          {"unknown", counts.unknown}};
}

Json grounding_json(const Grounding& grounding) {
  Json object = counts_json(grounding.corpus);
  for (const Section section : kAllSections) {
    const GroundingCounts& counts = grounding.sections[static_cast<size_t>(section)];
    if (counts.captions > 0) {
      object["sections"][std::string(section_key(section))] = counts_json(counts);
    }
  }
  return object;
}

Json grounding_json(const ImageGrounding& grounding) {
  return {{"mentioned", grounding.mentioned},
          {"hallucinated", grounding.hallucinated},
          {"missed", grounding.missed},
          {"unknown", grounding.unknown},
          {"contradicted", grounding.contradicted}};
}

Json words_json(const std::array<int, kSectionCount>& words) {
  Json object = Json::object();
  for (const Section section : kAllSections) {
    const int count = words[static_cast<size_t>(section)];
    object[std::string(section_key(section))] = count < 0 ? Json(nullptr) : Json(count);
  }
  return object;
}

Json rubric_json(const CaptionRubric& rubric) {
  Json object = {{"points", rubric.points()}};
  for (size_t i = 0; i < kRubricPoints; ++i) {
    object[std::string(rubric_name(static_cast<RubricPoint>(i)))] = rubric.met[i];
  }
  object["section_words"] = words_json(rubric.words);
  return object;
}

// Shares of the captions that meet each point, and the mean words of the sections that are there.
Json rubric_json(const std::vector<CaptionRubric>& all) {
  Json object = Json::object();
  for (size_t i = 0; i < kRubricPoints; ++i) {
    const auto point = static_cast<RubricPoint>(i);
    object[std::string(rubric_name(point))] = rubric_share(all, point);
  }
  for (const Section section : kAllSections) {
    double words = 0;
    double there = 0;
    for (const CaptionRubric& one : all) {
      const int found = one.words[static_cast<size_t>(section)];
      if (found < 0) continue;
      words += found;
      ++there;
    }
    object["section_words"][std::string(section_key(section))] =
        there > 0 ? Json(words / there) : Json(nullptr);
  }
  return object;
}

Json image_json(const Evaluation& evaluation, size_t i) {
  const EvaluatedImage& image = evaluation.set.images[i];
  Json object = {{"image_id", id_json(image.id)}};
  if (!image.file.empty() && image.file != image.id) object["file"] = image.file;
  object.update(values_json(evaluation.scores.image(i)));
  object["caption"] = image.candidate;
  if (evaluation.grounding) {
    object["grounding"] = grounding_json(evaluation.grounding->images[i]);
  }
  if (!evaluation.rubric.empty()) object["rubric"] = rubric_json(evaluation.rubric[i]);
  return object;
}

Json factors_json(const Evaluation& evaluation) {
  Json object = Json::object();
  for (const FactorMembers& factor : evaluation.factors) {
    object[factor.name] = {{"images", factor.images.size()}};
    object[factor.name].update(values_json(evaluation.scores.corpus(factor.images)));
  }
  return object;
}

// One of two evaluations that are compared.
Json side_json(const Evaluation& evaluation) {
  Json object = {{"predictions", evaluation.name}, {"corpus", corpus_json(evaluation)}};
  if (evaluation.grounding) object["grounding"] = grounding_json(*evaluation.grounding);
  if (!evaluation.rubric.empty()) object["rubric"] = rubric_json(evaluation.rubric);
  return object;
}

}  // namespace

std::string to_json(const Evaluation& evaluation) {
  Json object = {{"predictions", evaluation.name}, {"corpus", corpus_json(evaluation)}};
  const Json intervals = intervals_json(evaluation.intervals);
  if (!intervals.empty()) object["intervals_95"] = intervals;
  if (!evaluation.factors.empty()) object["factors"] = factors_json(evaluation);
  if (evaluation.grounding) object["grounding"] = grounding_json(*evaluation.grounding);
  if (!evaluation.rubric.empty()) object["rubric"] = rubric_json(evaluation.rubric);
  object["warnings"] = evaluation.set.warnings;
  object["images"] = Json::array();
  for (size_t i = 0; i < evaluation.set.images.size(); ++i) {
    object["images"].push_back(image_json(evaluation, i));
  }
  return dumped(object, 2) + "\n";
}

std::string to_json(const Evaluation& first, const Evaluation& second,
                    const MetricDifferences& differences) {
  Json object = {{"first", side_json(first)}, {"second", side_json(second)}};
  for (const Metric metric : kAllMetrics) {
    const auto& difference = differences[static_cast<size_t>(metric)];
    if (!difference) continue;
    object["differences"][std::string(metric_name(metric))] = {
        {"difference", difference->value},
        {"interval_95", interval_json(difference->interval)},
        {"p_value", difference->p_value}};
  }
  return dumped(object, 2) + "\n";
}

std::string images_as_json_lines(const Evaluation& evaluation) {
  std::string lines;
  for (size_t i = 0; i < evaluation.set.images.size(); ++i) {
    lines += dumped(image_json(evaluation, i), -1) + "\n";
  }
  return lines;
}

std::string images_as_csv(const Evaluation& evaluation) {
  std::string csv = "image_id,file";
  const MetricValues corpus = evaluation.scores.corpus();
  for (const Metric metric : kAllMetrics) {
    if (corpus[static_cast<size_t>(metric)]) csv += cat(",", metric_name(metric));
  }
  csv += ",caption\n";
  for (size_t i = 0; i < evaluation.set.images.size(); ++i) {
    const EvaluatedImage& image = evaluation.set.images[i];
    csv += cat(csv_field(image.id), ",", csv_field(image.file));
    for (const auto& value : evaluation.scores.image(i)) {
      if (value) csv += cat(",", dumped(Json(*value), -1));
    }
    csv += cat(",", csv_field(image.candidate), "\n");
  }
  return csv;
}

}  // namespace fastvlm

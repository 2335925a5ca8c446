// SPDX-License-Identifier: Apache-2.0
#include "evaluate/rubric.h"

#include <algorithm>
#include <set>

#include "base/strings.h"
#include "caption/objects.h"
#include "evaluate/tokenized.h"

namespace fastvlm {
namespace {

bool comes_in_order(std::string_view caption) {
  std::optional<Section> last;
  for (const SectionPart& part : split_sections(caption)) {
    if (!part.section) continue;
    if (last && *part.section <= *last) return false;
    last = part.section;
  }
  return true;
}

// Whether a sentence, or eight words in a row, come twice.
bool repeats(std::string_view caption) {
  constexpr size_t kRow = 8;
  std::set<std::string> sentences;
  std::set<std::vector<std::string>> rows;
  std::vector<std::string> words;
  std::string sentence;
  size_t sentence_words = 0;
  const auto close = [&] {
    const bool twice = sentence_words > 2 && !sentences.insert(sentence).second;
    sentence.clear();
    sentence_words = 0;
    return twice;
  };
  for (const std::string& word : object_words(caption)) {
    if (word == ".") {
      if (close()) return true;
      continue;
    }
    if (word == ",") continue;
    sentence += word + " ";
    ++sentence_words;
    words.push_back(word);
    if (words.size() >= kRow) {
      std::vector<std::string> row(words.end() - static_cast<long>(kRow), words.end());
      if (!rows.insert(std::move(row)).second) return true;
    }
  }
  return close();
}

bool is_cut(std::string_view caption, std::string_view finish_reason) {
  if (!finish_reason.empty()) return finish_reason != "stop";
  const std::string_view text = trimmed(caption);
  return text.empty() || std::string_view(".!?\")'*").find(text.back()) == std::string_view::npos;
}

bool& point(CaptionRubric& rubric, RubricPoint which) {
  return rubric.met[static_cast<size_t>(which)];
}

}  // namespace

std::string_view rubric_name(RubricPoint point) {
  static constexpr std::array<std::string_view, kRubricPoints> kNames = {
      "sections_present", "in_order", "filled", "within_length", "no_repetition", "not_cut"};
  return kNames[static_cast<size_t>(point)];
}

int CaptionRubric::points() const {
  return static_cast<int>(std::count(met.begin(), met.end(), true));
}

CaptionRubric rubric(std::string_view caption, std::string_view finish_reason,
                     const RubricLimits& limits) {
  const Sections sections = parse_sections(caption);
  CaptionRubric found;
  bool present = true;
  bool filled = true;
  bool within = true;
  for (size_t i = 0; i < kSectionCount; ++i) {
    found.words[i] = -1;
    present = present && sections[i].has_value();
    if (!sections[i]) continue;
    found.words[i] = static_cast<int>(words_of(*sections[i]).size());
    filled = filled && found.words[i] > 0;
    within = within && found.words[i] >= limits.fewest_words && found.words[i] <= limits.most_words;
  }
  const bool any = std::any_of(sections.begin(), sections.end(), [](const auto& s) { return !!s; });
  point(found, RubricPoint::kPresent) = present;
  point(found, RubricPoint::kInOrder) = any && comes_in_order(caption);
  point(found, RubricPoint::kFilled) = any && filled;
  point(found, RubricPoint::kLength) = any && within;
  point(found, RubricPoint::kNoRepetition) = !repeats(caption);
  point(found, RubricPoint::kNotCut) = !is_cut(caption, finish_reason);
  return found;
}

std::vector<CaptionRubric> rubric(const EvaluationSet& set, const RubricLimits& limits) {
  std::vector<CaptionRubric> all;
  for (const EvaluatedImage& image : set.images) {
    all.push_back(rubric(image.candidate, image.finish_reason, limits));
  }
  return all;
}

double rubric_share(const std::vector<CaptionRubric>& all, RubricPoint point) {
  const auto met = std::count_if(all.begin(), all.end(), [point](const CaptionRubric& one) {
    return one.met[static_cast<size_t>(point)];
  });
  return static_cast<double>(met) / static_cast<double>(all.size());
}

}  // namespace fastvlm

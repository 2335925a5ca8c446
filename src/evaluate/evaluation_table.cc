// SPDX-License-Identifier: Apache-2.0
#include "evaluate/evaluation_table.h"

#include <algorithm>

#include "base/strings.h"

namespace fastvlm {
namespace {

using Row = std::vector<std::string>;

std::string score(double value) {
  return fixed(value, 4);
}

std::string percent(double share) {
  return cat(fixed(100 * share, 1), " %");
}

// The first column to the left, the others to the right, two spaces between them.
std::string aligned(const std::vector<Row>& rows) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), 0);
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string padding(widths[i] - row[i].size(), ' ');
      line += i == 0 ? cat(row[i], padding) : cat("  ", padding, row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string modules_text(const Scores& scores) {
  return joined(scores.meteor_modules());
}

std::string shown(const std::optional<double>& value) {
  return value ? score(*value) : "";
}

std::string images_text(size_t count) {
  return cat(count, count == 1 ? " image" : " images");
}

std::string corpus_table(const Evaluation& evaluation) {
  const MetricValues corpus = evaluation.scores.corpus();
  std::vector<Row> rows;
  for (const Metric metric : kAllMetrics) {
    const auto m = static_cast<size_t>(metric);
    if (!corpus[m]) continue;
    Row row = {std::string(metric_name(metric)), score(*corpus[m])};
    const auto& interval = evaluation.intervals[m];
    if (interval) row.push_back(cat("[", score(interval->low), ", ", score(interval->high), "]"));
    rows.push_back(std::move(row));
  }
  return aligned(rows);
}

std::string factor_table(const Evaluation& evaluation) {
  std::vector<Row> rows = {{"factor", "images"}};
  const MetricValues corpus = evaluation.scores.corpus();
  for (const Metric metric : kAllMetrics) {
    if (corpus[static_cast<size_t>(metric)]) rows[0].emplace_back(metric_name(metric));
  }
  for (const FactorMembers& factor : evaluation.factors) {
    Row row = {factor.name, std::to_string(factor.images.size())};
    for (const auto& value : evaluation.scores.corpus(factor.images)) {
      if (value) row.push_back(shown(value));
    }
    rows.push_back(std::move(row));
  }
  return aligned(rows);
}

Row grounding_row(const std::string& name, const GroundingCounts& counts) {
  return {name,
          percent(counts.chair_i()),
          percent(counts.chair_s()),
          percent(counts.recall()),
          std::to_string(counts.mentions),
          std::to_string(counts.unknown),
          counts.tags > 0 ? percent(counts.tag_use()) : "",
          counts.tags > 0 ? std::to_string(counts.tags_contradicted) : ""};
}

std::string grounding_table(const Grounding& grounding) {
  std::vector<Row> rows = {{"grounding", "CHAIR-i", "CHAIR-s", "recall", "mentions", "unknown",
                            "tags used", "contradicted"},
                           grounding_row("all", grounding.corpus)};
  for (const Section section : kAllSections) {
    const GroundingCounts& counts = grounding.sections[static_cast<size_t>(section)];
    if (counts.captions > 0) {
      rows.push_back(grounding_row(std::string(section_title(section)), counts));
    }
  }
  return aligned(rows);
}

std::string rubric_table(const std::vector<CaptionRubric>& all) {
  std::vector<Row> rows = {{"rubric", "captions that meet it"}};
  for (size_t i = 0; i < kRubricPoints; ++i) {
    const auto point = static_cast<RubricPoint>(i);
    rows.push_back({std::string(rubric_name(point)), percent(rubric_share(all, point))});
  }
  return aligned(rows);
}

// Shares that both evaluations have, without intervals.
void add_share_rows(const Evaluation& first, const Evaluation& second, std::vector<Row>& rows) {
  const auto add = [&rows](std::string_view name, double a, double b) {
    rows.push_back({std::string(name), percent(a), percent(b), percent(b - a)});
  };
  if (first.grounding && second.grounding) {
    const GroundingCounts& a = first.grounding->corpus;
    const GroundingCounts& b = second.grounding->corpus;
    add("CHAIR-i", a.chair_i(), b.chair_i());
    add("CHAIR-s", a.chair_s(), b.chair_s());
    add("object recall", a.recall(), b.recall());
    if (a.tags + b.tags > 0) add("tags used", a.tag_use(), b.tag_use());
  }
  if (first.rubric.empty() || second.rubric.empty()) return;
  for (size_t i = 0; i < kRubricPoints; ++i) {
    const auto point = static_cast<RubricPoint>(i);
    add(rubric_name(point), rubric_share(first.rubric, point), rubric_share(second.rubric, point));
  }
}

}  // namespace

std::string to_table(const Evaluation& evaluation) {
  std::string text = cat(images_text(evaluation.scores.size()), " of ", evaluation.name, "\n\n");
  text += corpus_table(evaluation);
  if (!evaluation.scores.meteor_modules().empty()) {
    text += cat("\nMETEOR modules: ", modules_text(evaluation.scores), "\n");
  }
  if (evaluation.saved_frequencies) text += "CIDEr: document frequencies from a saved table\n";
  if (!evaluation.factors.empty()) text += cat("\n", factor_table(evaluation));
  if (evaluation.grounding) text += cat("\n", grounding_table(*evaluation.grounding));
  if (!evaluation.rubric.empty()) text += cat("\n", rubric_table(evaluation.rubric));
  return text;
}

std::string to_table(const Evaluation& first, const Evaluation& second,
                     const MetricDifferences& differences) {
  std::vector<Row> rows = {{"", "first", "second", "difference", "95 % interval", "p"}};
  const MetricValues a = first.scores.corpus();
  const MetricValues b = second.scores.corpus();
  for (const Metric metric : kAllMetrics) {
    const auto m = static_cast<size_t>(metric);
    if (!differences[m]) continue;
    const Interval& interval = differences[m]->interval;
    rows.push_back({std::string(metric_name(metric)), shown(a[m]), shown(b[m]),
                    score(differences[m]->value),
                    cat("[", score(interval.low), ", ", score(interval.high), "]"),
                    fixed(differences[m]->p_value, 3)});
  }
  add_share_rows(first, second, rows);
  return cat(images_text(first.scores.size()), "\nfirst:  ", first.name, "\nsecond: ", second.name,
             "\n\n", aligned(rows));
}

}  // namespace fastvlm

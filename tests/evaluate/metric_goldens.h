// SPDX-License-Identifier: Apache-2.0
// The reference evaluator's numbers: tests/goldens/metrics, or the larger files beside the
// repository.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fastvlm::test {

// A string through Stanford's lexer: in one stream with the others of its file, and alone.
struct Stress {
  std::string text;
  std::string lexed;
  std::string tokens;
  std::string lexed_alone;
  std::string tokens_alone;
};

struct GoldenImage {
  std::string id;
  std::vector<std::string> references;
  std::string candidate;
  std::vector<std::string> reference_tokens;
  std::string candidate_tokens;
  std::map<std::string, double> scores;
  std::map<std::string, std::string> statistics;  // METEOR's SCORE lines
};

struct MetricGolden {
  std::vector<GoldenImage> images;
  std::map<std::string, double> corpus;
};

std::filesystem::path metric_file(const std::string& name);  // ours, or the shared one
std::vector<Stress> ptb_stress();
std::optional<MetricGolden> metric_golden(const std::string& name);  // nothing when absent
std::vector<std::pair<std::string, std::string>> meteor_normalize_pairs();
std::map<std::string, std::string> porter2_stems();

}  // namespace fastvlm::test

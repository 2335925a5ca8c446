// SPDX-License-Identifier: Apache-2.0
// Reads the goldens once for all tests of this folder.
#include "evaluate/metric_goldens.h"

#include <fstream>
#include <nlohmann/json.hpp>

#include "support/files.h"

namespace fastvlm::test {
namespace {

using nlohmann::json;

json read(const std::filesystem::path& path) {
  std::ifstream file(path);
  return json::parse(file);
}

GoldenImage image_of(const std::string& id, const json& from) {
  GoldenImage image;
  image.id = id;
  image.references = from.value("refs", std::vector<std::string>{});
  image.candidate = from.value("cand", "");
  from.at("refs_tok").get_to(image.reference_tokens);
  from.at("cand_tok").get_to(image.candidate_tokens);
  for (const auto& [key, value] : from.at("scores").items()) {
    if (value.is_number()) image.scores[key] = value.get<double>();
    if (value.is_string()) image.statistics[key] = value.get<std::string>();
  }
  return image;
}

}  // namespace

std::filesystem::path metric_file(const std::string& name) {
  const std::filesystem::path ours = golden("metrics/" + name);
  return std::filesystem::exists(ours) ? ours : shared("goldens/metrics/" + name);
}

std::vector<Stress> ptb_stress() {
  std::vector<Stress> items;
  const json file = read(metric_file("ptb_stress.json"));
  for (const json& item : file.at("items")) {
    items.push_back({item.at("text"), item.at("java"), item.at("tok"), item.at("single_java"),
                     item.at("single_tok")});
  }
  return items;
}

std::optional<MetricGolden> metric_golden(const std::string& name) {
  const std::filesystem::path path = metric_file(name + ".json");
  if (!std::filesystem::exists(path)) return std::nullopt;
  const json file = read(path);
  MetricGolden golden;
  golden.corpus = file.at("corpus").get<std::map<std::string, double>>();
  for (const json& id : file.at("order")) {
    const std::string key = id.is_string() ? id.get<std::string>() : id.dump();
    golden.images.push_back(image_of(key, file.at("images").at(key)));
  }
  return golden;
}

std::vector<std::pair<std::string, std::string>> meteor_normalize_pairs() {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const json& pair : read(metric_file("meteor_normalize.json"))) {
    pairs.emplace_back(pair.at("in"), pair.at("out"));
  }
  return pairs;
}

std::map<std::string, std::string> porter2_stems() {
  return read(metric_file("porter2_stems.json")).get<std::map<std::string, std::string>>();
}

}  // namespace fastvlm::test

// SPDX-License-Identifier: Apache-2.0
#include "hub/model_origin.h"

#include <sstream>
#include <string_view>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "hub/cache.h"

namespace fastvlm {
namespace {

constexpr size_t kTextLimit = size_t{1} << 20;

std::string value_of(std::string_view line, std::string_view key) {
  if (!line.starts_with(key)) return {};
  std::string_view value = trimmed(line.substr(key.size()));
  if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
      value.back() == value.front()) {
    value = value.substr(1, value.size() - 2);
  }
  return std::string(value);
}

// The licence in the front matter of a hub's model card.
std::string card_license(const std::filesystem::path& folder) {
  const auto card = read_text_file(folder / "README.md", kTextLimit);
  if (!card.ok() || !card->starts_with("---")) return {};
  std::istringstream lines(*card);
  std::string license;
  std::string name;
  std::string line;
  for (std::getline(lines, line); std::getline(lines, line) && !line.starts_with("---");) {
    if (license.empty()) license = value_of(line, "license:");
    if (name.empty()) name = value_of(line, "license_name:");
  }
  return license == "other" && !name.empty() ? name : license;
}

// Of a sentence of ours about a pulled model (hub/pull.cc).
std::string record_license(std::string_view sentence) {
  if (sentence.find("apple-amlr") != std::string_view::npos) return "apple-amlr";
  constexpr std::string_view kSays = "the source says: ";
  const size_t says = sentence.find(kSays);
  return says == std::string_view::npos
             ? std::string()
             : std::string(trimmed(sentence.substr(says + kSays.size())));
}

std::string text_license(const std::filesystem::path& folder) {
  for (const char* name : {"LICENSE", "LICENSE.txt", "LICENSE.md", "LICENSE_MODEL"}) {
    const auto text = read_text_file(folder / name, kTextLimit);
    if (!text.ok()) continue;
    const std::string beginning = lower_case(std::string_view(*text).substr(0, 500));
    if (beginning.find("apple machine learning research model") != std::string::npos) {
      return "apple-amlr";
    }
    if (beginning.find("apache license") != std::string::npos) return "apache-2.0";
    if (beginning.find("mit license") != std::string::npos) return "mit";
  }
  return {};
}

}  // namespace

ModelOrigin model_origin(const std::filesystem::path& folder) {
  ModelOrigin origin;
  const auto record = read_record(folder);
  if (record.ok()) origin.source = record->source;
  origin.license = card_license(folder);
  if (origin.license.empty() && record.ok()) origin.license = record_license(record->license);
  if (origin.license.empty()) origin.license = text_license(folder);
  return origin;
}

}  // namespace fastvlm

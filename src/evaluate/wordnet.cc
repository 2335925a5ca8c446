// SPDX-License-Identifier: Apache-2.0
#include "evaluate/wordnet.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr const char* kPartsOfSpeech[] = {"noun", "verb", "adj", "adv"};

// Debian's index files were made from data files a few bytes longer than Princeton's; METEOR counts
// in the latter.
int32_t princeton_offset(int32_t offset, std::string_view part_of_speech) {
  if (part_of_speech == "verb" && offset >= 613036 && offset <= 2422681) return offset - 18;
  if (part_of_speech == "adj" && offset >= 1681478) return offset - 1;
  return offset;
}

Status damaged(const std::filesystem::path& path, size_t line, const std::string& expected) {
  return error(Code::kInvalid, cat(path.string(), ": line ", line, ": expected ", expected),
               "reinstall the package wordnet-base, or name another folder with --wordnet");
}

Result<std::ifstream> open(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (file) return file;
  return error(Code::kNotFound, cat(path.string(), ": no such file (METEOR's synonyms)"),
               "apt-get install wordnet-base, or name its folder with --wordnet, or leave the "
               "module out with --meteor-modules exact,stem");
}

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const size_t start = line.find_first_not_of(" \r");
    if (start == std::string_view::npos) return fields;
    line.remove_prefix(start);
    const size_t end = std::min(line.find_first_of(" \r"), line.size());
    fields.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

bool parse_number(std::string_view text, int32_t& number) {
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  return problem == std::errc() && end == text.data() + text.size() && number >= 0;
}

// lemma pos synset_cnt p_cnt [symbols] sense_cnt tagsense_cnt offset... (wndb(5WN))
bool parse_index_line(std::string_view line, std::string& word, std::vector<int32_t>& offsets) {
  const std::vector<std::string_view> fields = fields_of(line);
  int32_t count = 0;
  int32_t symbols = 0;
  if (fields.size() < 6 || !parse_number(fields[2], count) || !parse_number(fields[3], symbols)) {
    return false;
  }
  const auto sets = static_cast<size_t>(count);
  if (sets == 0 || fields.size() != 6 + static_cast<size_t>(symbols) + sets) return false;
  word = fields[0];
  offsets.resize(sets);
  for (size_t i = 0; i < sets; ++i) {
    if (!parse_number(fields[fields.size() - sets + i], offsets[i])) return false;
  }
  return true;
}

using Sets = std::unordered_map<std::string, std::vector<int32_t>>;

Status read_index(const std::filesystem::path& folder, const char* part_of_speech, Sets& sets) {
  const std::filesystem::path path = folder / cat("index.", part_of_speech);
  FASTVLM_ASSIGN(std::ifstream file, open(path));
  size_t number = 0;
  std::string word;
  std::vector<int32_t> offsets;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.empty() || line[0] == ' ') continue;  // the licence at the top
    if (!parse_index_line(line, word, offsets)) {
      return damaged(path, number, "a lemma, counts and that many offsets");
    }
    std::vector<int32_t>& all = sets[word];
    for (const int32_t offset : offsets) {
      all.push_back(princeton_offset(offset, part_of_speech));
    }
  }
  return {};
}

using BaseForms = std::unordered_map<std::string, std::vector<std::string>>;

// irregular base...
Status read_exceptions(const std::filesystem::path& folder, const char* part_of_speech,
                       BaseForms& base_forms) {
  const std::filesystem::path path = folder / cat(part_of_speech, ".exc");
  FASTVLM_ASSIGN(std::ifstream file, open(path));
  size_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const std::vector<std::string_view> fields = fields_of(line);
    if (fields.empty()) continue;
    if (fields.size() < 2) return damaged(path, number, "a form and its base forms");
    std::vector<std::string>& bases = base_forms[std::string(fields[0])];
    for (size_t i = 1; i < fields.size(); ++i) bases.emplace_back(fields[i]);
  }
  return {};
}

struct Ending {
  std::string_view inflected;
  std::string_view base;
};

// The regular endings, in the order in which they are tried (morphy(7WN)).
constexpr Ending kEndings[] = {
    {"s", ""},      {"ses", "s"}, {"xes", "x"}, {"zes", "z"}, {"ches", "ch"}, {"shes", "sh"},
    {"men", "man"}, {"ies", "y"}, {"es", "e"},  {"es", ""},   {"ed", "e"},    {"ed", ""},
    {"ing", "e"},   {"ing", ""},  {"er", ""},   {"est", ""},  {"er", "e"},    {"est", "e"}};

}  // namespace

Result<Wordnet> Wordnet::load(const std::filesystem::path& folder) {
  Wordnet wordnet;
  for (const char* part_of_speech : kPartsOfSpeech) {
    FASTVLM_RETURN_IF_ERROR(read_index(folder, part_of_speech, wordnet.sets_));
    FASTVLM_RETURN_IF_ERROR(read_exceptions(folder, part_of_speech, wordnet.base_forms_));
  }
  for (auto& [word, sets] : wordnet.sets_) {
    std::sort(sets.begin(), sets.end());
    sets.erase(std::unique(sets.begin(), sets.end()), sets.end());
  }
  return wordnet;
}

size_t Wordnet::senses() const {
  size_t count = 0;
  for (const auto& [word, sets] : sets_) count += sets.size();
  return count;
}

std::vector<std::string> Wordnet::base_forms_of(const std::string& word) const {
  if (const auto found = base_forms_.find(word); found != base_forms_.end()) return found->second;
  for (const Ending& ending : kEndings) {
    if (!word.ends_with(ending.inflected)) continue;
    std::string base = word.substr(0, word.size() - ending.inflected.size());
    base += ending.base;
    if (sets_.contains(base)) return {base};
  }
  return {};
}

std::vector<int32_t> Wordnet::synonym_sets(const std::string& word) const {
  std::vector<std::string> forms = base_forms_of(word);
  forms.push_back(word);
  std::vector<int32_t> all;
  for (const std::string& form : forms) {
    const auto found = sets_.find(form);
    if (found != sets_.end()) all.insert(all.end(), found->second.begin(), found->second.end());
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

}  // namespace fastvlm

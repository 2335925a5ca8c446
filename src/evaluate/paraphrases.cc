// SPDX-License-Identifier: Apache-2.0
#include "evaluate/paraphrases.h"

#include <zlib.h>

#include <memory>

#include "base/strings.h"
#include "evaluate/tokenized.h"

namespace fastvlm {
namespace {

constexpr size_t kMostBytes = size_t{1} << 30;  // METEOR's own table holds a fifth of that

Status unreadable(const std::filesystem::path& path, const std::string& why) {
  return error(Code::kInvalid, cat(path.string(), ": ", why),
               "give METEOR's paraphrase-en.gz, or leave --meteor-paraphrases out");
}

Result<std::string> read_text_or_gzip(const std::filesystem::path& path) {
  const std::unique_ptr<gzFile_s, decltype(&gzclose)> file(gzopen(path.c_str(), "rb"), &gzclose);
  if (!file) {
    return error(Code::kNotFound, cat(path.string(), ": cannot be read"),
                 "name METEOR's paraphrase-en.gz, or leave --meteor-paraphrases out");
  }
  std::string text;
  std::string block(size_t{1} << 20, '\0');
  while (true) {
    const int count = gzread(file.get(), block.data(), static_cast<unsigned>(block.size()));
    if (count < 0) return unreadable(path, "expected text or gzip, found damaged gzip data");
    if (count == 0) return text;
    text.append(block, 0, static_cast<size_t>(count));
    if (text.size() > kMostBytes) return unreadable(path, "expected at most 1 GB of text");
  }
}

std::string key_of(std::span<const std::string> words) {
  std::string key;
  for (const std::string& word : words) {
    if (!key.empty()) key += ' ';
    key += word;
  }
  return key;
}

}  // namespace

Result<Paraphrases> Paraphrases::load(const std::filesystem::path& path) {
  FASTVLM_ASSIGN(const std::string text, read_text_or_gzip(path));
  std::vector<std::string> lines = split(text, '\n');
  if (lines.back().empty()) lines.pop_back();
  if (lines.empty() || lines.size() % 3 != 0) {
    return unreadable(path, cat("expected three lines an entry, found ", lines.size(), " lines"));
  }
  Paraphrases paraphrases;
  for (size_t i = 0; i < lines.size(); i += 3) {
    const Phrase phrase = words_of(lines[i + 1]);
    const Phrase paraphrase = words_of(lines[i + 2]);
    if (phrase.empty() || paraphrase.empty()) {
      return unreadable(path, cat("line ", i + 2, ": expected a phrase and its paraphrase"));
    }
    paraphrases.table_[key_of(phrase)].push_back(paraphrase);
    paraphrases.longest_ = std::max(paraphrases.longest_, phrase.size());
    ++paraphrases.entries_;
  }
  return paraphrases;
}

const std::vector<Phrase>& Paraphrases::of(std::span<const std::string> words) const {
  static const std::vector<Phrase> kNone;
  const auto found = table_.find(key_of(words));
  return found == table_.end() ? kNone : found->second;
}

}  // namespace fastvlm

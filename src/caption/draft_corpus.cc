// SPDX-License-Identifier: Apache-2.0
#include "caption/draft_corpus.h"

#include <nlohmann/json.hpp>
#include <string_view>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "caption/journal.h"
#include "caption/output.h"

namespace fastvlm {
namespace {

Result<std::vector<std::string>> texts_of_journal(const std::filesystem::path& file) {
  FASTVLM_ASSIGN(const Journal journal, Journal::read(file));
  std::vector<std::string> texts;
  for (const std::string& image : journal.images()) {
    FASTVLM_ASSIGN(const JournalRecord record, journal.record(journal.find(image)->place));
    FASTVLM_ASSIGN(WrittenCaption caption, parse_caption(record.caption));
    texts.push_back(std::move(caption.text));
  }
  return texts;
}

Result<std::string> text_of_line(std::string_view line, const std::filesystem::path& file,
                                 size_t number) {
  const auto object = nlohmann::json::parse(line, nullptr, false);
  for (const char* key : {"text", "caption"}) {
    if (!object.is_object()) break;
    const auto found = object.find(key);
    if (found != object.end() && found->is_string()) return found->get<std::string>();
  }
  return error(Code::kInvalid,
               cat(file.string(), ": line ", number,
                   ": expected a JSON object with a \"text\" or a \"caption\", found ",
                   object.is_object() ? "an object without" : "something else"),
               "give what `fastvlm caption --out captions.jsonl` writes, or a journal");
}

}  // namespace

Result<std::vector<std::string>> read_draft_texts(const std::filesystem::path& file) {
  FASTVLM_ASSIGN(const MappedFile mapped, MappedFile::open(file));
  std::string_view rest = text_of(mapped.bytes());
  std::vector<std::string> texts;
  if (rest.starts_with(kJournalFirstLine)) {
    FASTVLM_ASSIGN(texts, texts_of_journal(file));
  } else {
    for (size_t number = 1; !rest.empty(); ++number) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      const std::string_view line = trimmed(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
      if (line.empty()) continue;
      FASTVLM_ASSIGN(std::string text, text_of_line(line, file, number));
      texts.push_back(std::move(text));
    }
  }
  if (!texts.empty()) return texts;
  return error(Code::kInvalid, cat(file.string(), ": expected captions, found none"),
               "caption some pictures first: drafts are learnt from what was written");
}

std::string vocabulary_digest(const Tokenizer& tokenizer) {
  Sha256 digest;
  for (size_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.token_bytes(static_cast<TokenId>(id));
    digest.update(std::to_string(bytes.size()) + ":");
    digest.update(bytes);
  }
  return digest.finish();
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "dataset/check.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "dataset/llava.h"
#include "dataset/record_file.h"
#include "dataset/splits.h"
#include "image/decode.h"
#include "text/conversation.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTagMark = "• ";
constexpr size_t kMostBars = 12;

int64_t words_of(std::string_view text) {
  int64_t count = 0;
  bool inside = false;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!blank && !inside) ++count;
    inside = !blank;
  }
  return count;
}

int64_t tags_of_question(std::string_view question) {
  int64_t count = 0;
  for (const std::string& line : split(question, '\n')) {
    if (line.starts_with(kTagMark)) ++count;
  }
  return count;
}

// Positions of a conversation in training: the picture's and those of every turn.
Result<int64_t> length_of(const LlavaRecord& record, const CheckOptions& options) {
  std::vector<TokenId> ids;
  for (const LlavaExchange& exchange : record.exchanges) {
    if (ids.empty()) {
      FASTVLM_ASSIGN(
          ids, conversation_ids(*options.tokenizer, exchange.question, PromptOrder::kImageFirst));
    } else {
      FASTVLM_RETURN_IF_ERROR(append_question(*options.tokenizer, exchange.question, ids));
    }
    FASTVLM_RETURN_IF_ERROR(append_answer(*options.tokenizer, exchange.answer, ids));
  }
  return static_cast<int64_t>(ids.size()) - 1 + options.image_tokens;
}

// A picture of the data set, looked at once.
struct LookedAt {
  std::string problem;  // empty: it can be used
  std::string sha256;
};

LookedAt look_at(const fs::path& path, const std::string& name) {
  std::error_code failed;
  if (!fs::is_regular_file(path, failed)) return {cat("image ", name, ": no such file"), {}};
  const auto file = MappedFile::open(path);
  if (!file.ok()) return {cat("image ", name, ": cannot be read"), {}};
  const auto image = decode_image(file->bytes(), cat("image ", name));
  if (!image.ok()) return {image.status().message, {}};
  return {{}, sha256_hex(file->bytes())};
}

struct SamplePlace {
  size_t file = 0;
  std::string shown;  // "train.jsonl:3"
};

class Checker {
 public:
  explicit Checker(const CheckOptions& options) : options_(options) {}

  Status check(size_t file, const std::string& name, const FileRecord& entry) {
    std::vector<std::string> problems;
    const SamplePlace place{file, cat(name, ":", entry.line)};
    if (entry.value.is_discarded()) {
      problems.push_back(cat("expected JSON, found ", entry.excerpt));
    } else {
      const LlavaRecord record = read_llava(entry.value, problems);
      const bool readable = problems.empty();
      check_id(record, place, problems);
      check_answers(record, problems);
      check_image(record, place, problems);
      if (readable) {
        FASTVLM_RETURN_IF_ERROR(check_length(record, problems));
        result_.tags.values.push_back(tags_of_question(record.exchanges.front().question));
      }
    }
    ++result_.samples;
    if (!problems.empty()) ++result_.bad;
    for (std::string& what : problems) {
      result_.problems.push_back({name, entry.line, printable(what)});
    }
    return {};
  }

  DatasetCheck take() {
    result_.pictures = looked_at_.size();
    result_.distinct_answers = answers_.size();
    return std::move(result_);
  }

 private:
  void check_id(const LlavaRecord& record, const SamplePlace& place,
                std::vector<std::string>& problems) {
    if (record.id.empty()) return;
    const auto [first, added] = ids_.emplace(record.id, place.shown);
    if (!added) problems.push_back(cat("id ", record.id, ": is that of ", first->second));
  }

  void check_answers(const LlavaRecord& record, std::vector<std::string>& problems) {
    for (const LlavaExchange& exchange : record.exchanges) {
      if (trimmed(exchange.answer).empty()) continue;
      ++result_.answers;
      answers_.insert(sha256_hex(exchange.answer));
      result_.answer_words.values.push_back(words_of(exchange.answer));
      const std::vector<std::string> found = section_problems(exchange.answer, exchange.question);
      const bool complete = has_all_sections(exchange.answer);
      if (complete) ++result_.seven_sections;
      if (!complete && found.empty()) ++result_.free_answers;
      problems.insert(problems.end(), found.begin(), found.end());
    }
  }

  void check_image(const LlavaRecord& record, const SamplePlace& place,
                   std::vector<std::string>& problems) {
    if (record.image.empty()) return;
    auto [known, is_new] = looked_at_.try_emplace(record.image);
    if (options_.images.empty()) return;
    if (is_new) known->second = look_at(options_.images / record.image, record.image);
    if (!known->second.problem.empty()) {
      problems.push_back(known->second.problem);
      return;
    }
    const auto [first, added] = contents_.emplace(known->second.sha256, place);
    if (!added && first->second.file != place.file) {
      problems.push_back(cat("image ", record.image,
                             ": is in another split too: the same picture as ",
                             first->second.shown));
    }
  }

  Status check_length(const LlavaRecord& record, std::vector<std::string>& problems) {
    if (options_.tokenizer == nullptr) return {};
    FASTVLM_ASSIGN(const int64_t length, length_of(record, options_));
    result_.tokens.values.push_back(length);
    if (options_.max_length > 0 && length > options_.max_length) {
      ++result_.overlong;
      problems.push_back(cat("expected at most ", options_.max_length, " tokens, found ", length));
    }
    return {};
  }

  const CheckOptions& options_;
  DatasetCheck result_;
  std::unordered_map<std::string, std::string> ids_;  // where each was seen first
  std::unordered_map<std::string, LookedAt> looked_at_;
  std::unordered_map<std::string, SamplePlace> contents_;  // by SHA-256
  std::unordered_set<std::string> answers_;
};

}  // namespace

int64_t Spread::least() const {
  return *std::min_element(values.begin(), values.end());
}
int64_t Spread::most() const {
  return *std::max_element(values.begin(), values.end());
}
int64_t Spread::median() const {
  std::vector<int64_t> sorted = values;
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) / 2);
  std::nth_element(sorted.begin(), middle, sorted.end());
  return *middle;
}
double Spread::mean() const {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

std::vector<HistogramBar> histogram_of(const Spread& spread) {
  std::vector<HistogramBar> bars;
  if (spread.empty()) return bars;
  int64_t width = 1;
  const auto count = [&] {
    return static_cast<size_t>(spread.most() / width - spread.least() / width + 1);
  };
  while (count() > kMostBars) width *= 2;
  const int64_t first = spread.least() / width;
  for (size_t i = 0; i < count(); ++i) {
    bars.push_back({(first + static_cast<int64_t>(i)) * width, width, 0});
  }
  for (const int64_t value : spread.values)
    ++bars[static_cast<size_t>(value / width - first)].count;
  return bars;
}

Result<DatasetCheck> check_dataset(const std::vector<fs::path>& files,
                                   const CheckOptions& options) {
  std::vector<std::vector<FileRecord>> all;
  size_t total = 0;
  for (const fs::path& file : files) {
    FASTVLM_ASSIGN(std::vector<FileRecord> records, read_records(file));
    total += records.size();
    all.push_back(std::move(records));
  }
  Checker checker(options);
  size_t done = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    for (const FileRecord& record : all[i]) {
      if (options.stop()) return error(Code::kInterrupted, "interrupted", "");
      FASTVLM_RETURN_IF_ERROR(checker.check(i, files[i].string(), record));
      if (options.progress) options.progress(++done, total);
    }
  }
  return checker.take();
}

Result<std::vector<fs::path>> dataset_files(const fs::path& path) {
  std::error_code failed;
  if (!fs::is_directory(path, failed)) return std::vector<fs::path>{path};
  std::vector<fs::path> files;
  for (const std::string_view name : kSplitNames) {
    const fs::path file = path / cat(name, ".jsonl");
    if (fs::exists(file, failed)) files.push_back(file);
  }
  if (!files.empty()) return files;
  return error(Code::kNotFound,
               cat(path.string(), ": expected train.jsonl, found no file of a data set"),
               "name the file itself, or the folder that dataset build has written");
}

}  // namespace fastvlm

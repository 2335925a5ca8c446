// SPDX-License-Identifier: Apache-2.0
#include "dataset/pairs.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/file_digest.h"
#include "base/strings.h"
#include "dataset/csv.h"
#include "dataset/json_file.h"
#include "dataset/llava.h"
#include "dataset/picture_file.h"
#include "dataset/record_file.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Problems = std::vector<std::string>;

// Other names of a field that people use.
const std::vector<std::string> kCaptionNames = {"caption", "text", "answer", "description"};
const std::vector<std::string> kImageNames = {"image", "file_name", "filename", "file", "path"};
const std::vector<std::string> kPromptNames = {"prompt", "question"};

const json* find_any(const json& object, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const auto found = object.find(name);
    if (found != object.end() && !found->is_null() && *found != "") return &*found;
  }
  return nullptr;
}

std::string text_of(const json* value) {
  if (value == nullptr) return {};
  if (value->is_number_integer()) return value->dump();
  return value->is_string() ? std::string(trimmed(value->get_ref<const std::string&>())) : "";
}

// Column names in small letters, so that "Image" is `image`.
Result<std::vector<FileRecord>> csv_records(const fs::path& path) {
  FASTVLM_ASSIGN(const std::string text, read_json_text(path));
  FASTVLM_ASSIGN(const std::vector<CsvRow> rows, parse_csv(text, path.string()));
  std::vector<FileRecord> records;
  std::vector<std::string> names;
  if (!rows.empty()) {
    for (const std::string& name : rows[0].fields) names.push_back(lower_case(trimmed(name)));
  }
  const auto has = [&](const std::vector<std::string>& wanted) {
    return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return std::find(wanted.begin(), wanted.end(), name) != wanted.end();
    });
  };
  if (!has(kImageNames) || !has(kCaptionNames)) {
    return error(Code::kInvalid,
                 cat(path.string(), ":1: expected columns named `image` and `caption`"),
                 "write their names into the first line: image,caption,prompt,tags");
  }
  for (size_t i = 1; i < rows.size(); ++i) {
    if (rows[i].fields.size() > names.size()) {
      return error(Code::kInvalid,
                   cat(path.string(), ":", rows[i].line, ": expected ", names.size(),
                       " fields as in the first line, found ", rows[i].fields.size()),
                   "put quotes around texts with commas: \"A cat, sitting.\"");
    }
    FileRecord record{rows[i].line, json::object(), {}};
    for (size_t k = 0; k < rows[i].fields.size() && k < names.size(); ++k) {
      // Through the parser of JSON for its care of bytes that are no UTF-8.
      record.value[names[k]] =
          parse_json(json(rows[i].fields[k]).dump(-1, ' ', false, json::error_handler_t::replace));
    }
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<Tag> tags_in(const json& value, Problems& problems) {
  std::vector<Tag> tags;
  const auto take = [&](const std::string& text) {
    auto list = parse_tag_list(text);
    if (!list.ok()) {
      problems.push_back(cat("`tags`: ", list.status().message));
      return;
    }
    tags.insert(tags.end(), list->begin(), list->end());
  };
  if (value.is_string()) {
    take(value.get<std::string>());
  } else if (value.is_array()) {
    for (const json& tag : value) {
      if (tag.is_string())
        take(tag.get<std::string>());
      else
        problems.emplace_back("`tags`: expected texts such as \"person (left)\"");
    }
  } else {
    problems.emplace_back("`tags`: expected a list of texts");
  }
  return tags;
}

DatasetSample pair_sample(const json& record, const std::string& prompt, Problems& problems) {
  DatasetSample sample;
  const json* id = find_any(record, {"id"});
  sample.id = text_of(id);
  sample.image = text_of(find_any(record, kImageNames));
  sample.gpt = text_of(find_any(record, kCaptionNames));
  if (sample.image.empty()) problems.emplace_back("no `image`: expected a file's name");
  if (sample.gpt.empty()) problems.emplace_back("no `caption`: expected a text");
  const json* tags = find_any(record, {"tags"});
  const std::string own = text_of(find_any(record, kPromptNames));
  sample.human = human_turn(tags == nullptr ? std::vector<Tag>() : tags_in(*tags, problems),
                            own.empty() ? prompt : own);
  if (count_image_marks(sample.gpt) > 0 || count_image_marks(sample.human) > 1) {
    problems.push_back(cat("expected no ", kImageMark, " in a text: it stands for the picture"));
  }
  return sample;
}

// Conversations that differ from LLaVA's in what can be put right without a doubt: other names of
// the two sides, and no mark of the picture in the first question.
json as_llava(json record) {
  json& turns = record["conversations"];
  if (!turns.is_array()) return record;
  for (json& turn : turns) {
    if (!turn.is_object()) continue;
    const std::string from = text_of(find_any(turn, {"from", "role"}));
    turn["from"] = from == "user" ? "human" : from == "assistant" ? "gpt" : from;
    if (const json* value = find_any(turn, {"value", "content"}); value != nullptr) {
      turn["value"] = json(*value);
    }
  }
  if (turns.empty() || !turns[0].is_object() || !turns[0].contains("value")) return record;
  json& first = turns[0]["value"];
  if (first.is_string() &&
      first.get_ref<const std::string&>().find(kImageMark) == std::string::npos) {
    first = cat(kImageMark, "\n", first.get_ref<const std::string&>());
  }
  return record;
}

DatasetSample conversation_sample(const json& record, Problems& problems) {
  LlavaRecord read = read_llava(as_llava(record), problems);
  if (!problems.empty()) return {};
  DatasetSample sample{read.id,
                       read.image,
                       cat(kImageMark, "\n", read.exchanges.front().question),
                       read.exchanges.front().answer,
                       {}};
  sample.more.assign(read.exchanges.begin() + 1, read.exchanges.end());
  return sample;
}

fs::path whole(const fs::path& path) {
  std::error_code ignored;
  return fs::absolute(path, ignored).lexically_normal();
}

struct Imported {
  DatasetSample sample;
  std::string sha256;  // of the picture's file
};

// What is wrong with it is added to `problems`.
Imported read_pair(const FileRecord& record, const ImportOptions& options, Problems& problems) {
  Imported read;
  if (!record.value.is_object()) {
    problems.push_back(record.value.is_discarded()
                           ? cat("expected JSON, found ", record.excerpt)
                           : "expected an object with `image` and `caption`");
    return read;
  }
  read.sample = record.value.contains("conversations")
                    ? conversation_sample(record.value, problems)
                    : pair_sample(record.value, options.prompt, problems);
  if (read.sample.image.empty()) return read;
  const fs::path path = picture_file(options.images, read.sample.image);
  auto sha256 =
      path.empty() ? Result<std::string>(error(Code::kNotFound, "")) : sha256_of_file(path);
  if (!sha256.ok()) {
    problems.push_back(
        cat("image ", read.sample.image, ": no such file in ", options.images.string()));
    return read;
  }
  read.sha256 = std::move(*sha256);
  const fs::path relative = whole(path).lexically_relative(whole(options.images));
  if (relative.empty() || *relative.begin() == "..") {
    problems.push_back(cat("image ", read.sample.image, ": lies outside of ",
                           options.images.string(),
                           ": name a folder above all pictures, or copy it there"));
  }
  read.sample.image = relative.generic_string();
  return read;
}

// Ids that are missing or taken come from the picture's name.
void give_ids(std::vector<Imported>& all) {
  std::set<std::string> taken;
  std::map<std::string, int64_t> numbers;  // the last one behind an id
  for (Imported& one : all) {
    std::string& id = one.sample.id;
    if (id.empty()) id = fs::path(one.sample.image).stem().string();
    const std::string wanted = id;
    while (!taken.insert(id).second)
      id = cat(wanted, "-", ++numbers.try_emplace(wanted, 1).first->second);
  }
}

SplitSamples split_by_picture(std::vector<Imported> all, const ImportOptions& options) {
  std::map<std::string, std::vector<Imported*>> by_picture;
  for (Imported& one : all) by_picture[one.sha256].push_back(&one);
  std::vector<std::string> pictures;
  for (const auto& [sha256, samples] : by_picture) pictures.push_back(sha256);
  const std::vector<size_t> splits = splits_in_order(pictures.size(), options.shares);
  SplitSamples samples;
  size_t place = 0;
  for (const size_t i : seeded_order(pictures, options.seed)) {
    const size_t split = splits[place++];
    for (Imported* one : by_picture[pictures[i]]) {
      samples[split].push_back(std::move(one->sample));
    }
  }
  return samples;
}

}  // namespace

Result<ImportedSet> import_pairs(const fs::path& path, const ImportOptions& options) {
  const bool csv = lower_case(path.extension().string()) == ".csv";
  FASTVLM_ASSIGN(const std::vector<FileRecord> records,
                 csv ? csv_records(path) : read_records(path));
  ImportedSet set;
  std::vector<Imported> all;
  for (const FileRecord& record : records) {
    Problems problems;
    Imported read = read_pair(record, options, problems);
    for (const std::string& what : problems) {
      set.problems.push_back({path.string(), record.line, printable(what)});
    }
    if (problems.empty()) all.push_back(std::move(read));
  }
  give_ids(all);
  set.samples = split_by_picture(std::move(all), options);
  return set;
}

}  // namespace fastvlm

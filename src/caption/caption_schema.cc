// SPDX-License-Identifier: Apache-2.0
#include "caption/caption_schema.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "base/sha256.h"
#include "base/strings.h"
#include "caption/json_shape.h"
#include "caption/prompt.h"
#include "caption/schema.h"
#include "caption/value_text.h"
#include "text/unicode.h"

namespace fastvlm {

namespace prompt_texts {  // prompts/seven_point.json, a generated file
extern const std::string_view kSevenPointSchema;
}

namespace {

using nlohmann::json;

constexpr size_t kMostSections = 64;
constexpr size_t kLongestName = 64, kLongestTitle = 100, kLongestText = 4000;
constexpr int64_t kFewestTokens = 4, kMostTokens = 1 << 16;

std::string shown(const json& value) {
  if (value.is_string()) return cat('"', excerpt(value.get_ref<const std::string&>()), '"');
  if (value.is_structured()) return value.type_name();
  return value.dump();
}

// Reads one object of a schema file. The first mistake is kept; what is read behind it is empty.
class ObjectReader {
 public:
  ObjectReader(const json& object, std::string path, std::initializer_list<const char*> keys)
      : object_(object), path_(std::move(path)) {
    if (!object.is_object()) {
      fail("", "an object", object);
      return;
    }
    for (const auto& [key, unused] : object.items()) {
      if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
      problem_ = error(Code::kInvalid, cat(path_, ": unknown key \"", excerpt(key), "\""),
                       cat("its keys are ", listed_keys(keys)));
      return;
    }
  }

  const Status& problem() const { return problem_; }
  const json* find(const char* key) const {
    const auto found = object_.is_object() ? object_.find(key) : object_.end();
    return !problem_.ok() || found == object_.end() ? nullptr : &*found;
  }

  // A text of at most `most` bytes; of one line unless `lines`.
  std::string text(const char* key, bool required, size_t most, bool lines = false) {
    const json* value = find(key);
    if (value == nullptr) {
      if (required && problem_.ok()) {
        problem_ = error(Code::kInvalid, cat(path_, ": expected a key \"", key, "\", found none"),
                         "docs/FORMATS.md shows a schema; prompts/seven_point.json is one");
      }
      return "";
    }
    const std::string expected =
        cat(lines ? "a text" : "a text of one line", " of 1 to ", most, " bytes");
    if (!value->is_string()) return fail(key, expected, *value);
    std::string text(trimmed(value->get_ref<const std::string&>()));
    const bool control = std::any_of(text.begin(), text.end(), [&](char c) {
      return static_cast<unsigned char>(c) < 0x20 && !(lines && (c == '\n' || c == '\t'));
    });
    if (text.empty() || text.size() > most || control) return fail(key, expected, *value);
    return text;
  }

  std::optional<int64_t> whole_number(const char* key, int64_t least, int64_t most) {
    const json* value = find(key);
    if (value == nullptr) return std::nullopt;
    const bool good = value->is_number_integer() && *value >= least && *value <= most;
    if (!good) {
      fail(key, cat("a whole number from ", least, " to ", most), *value);
      return std::nullopt;
    }
    return value->get<int64_t>();
  }

  std::string fail(const std::string& key, const std::string& expected, const json& found) {
    const std::string path = key.empty() ? path_ : cat(path_, separator_, key);
    problem_ = error(Code::kInvalid, cat(path, ": expected ", expected, ", found ", shown(found)),
                     "correct the schema file (docs/FORMATS.md)");
    return "";
  }

  void separate_by(const char* separator) { separator_ = separator; }

 private:
  static std::string listed_keys(std::initializer_list<const char*> keys) {
    std::string list;
    for (const char* key : keys) list += list.empty() ? key : cat(", ", key);
    return list;
  }

  const json& object_;
  std::string path_;
  const char* separator_ = ".";
  Status problem_;
};

bool is_key(std::string_view name) {
  return std::all_of(name.begin(), name.end(), [](char c) {
    return std::islower(static_cast<unsigned char>(c)) != 0 ||
           std::isdigit(static_cast<unsigned char>(c)) != 0 || c == '_';
  });
}

Result<std::vector<std::string>> read_choices(const json& value, const std::string& path) {
  const std::string hint = "list the values that a section may have";
  if (!value.is_array() || value.empty() || value.size() > kMostChoices) {
    return error(Code::kInvalid,
                 cat(path, ": expected a list of 1 to ", kMostChoices, " texts, found ",
                     value.is_array() ? cat(value.size()) : shown(value)),
                 hint);
  }
  std::vector<std::string> choices;
  for (size_t i = 0; i < value.size(); ++i) {
    const json wrapped = {{"choice", value[i]}};
    ObjectReader reader(wrapped, cat(path, "[", i, "]"), {"choice"});
    std::string choice = reader.text("choice", true, kLongestTitle);
    if (!reader.problem().ok()) {
      return error(Code::kInvalid,
                   cat(path, "[", i, "]: expected a text of one line of 1 to ", kLongestTitle,
                       " bytes, found ", shown(value[i])),
                   hint);
    }
    if (std::find(choices.begin(), choices.end(), choice) != choices.end()) {
      return error(Code::kInvalid, cat(path, "[", i, "]: \"", choice, "\" stands there twice"),
                   "each choice once");
    }
    choices.push_back(std::move(choice));
  }
  return choices;
}

Result<SectionSpec> read_section(const json& value, const std::string& path) {
  ObjectReader reader(value, path, {"name", "title", "instruction", "max_tokens", "choices"});
  SectionSpec section;
  section.key = reader.text("name", true, kLongestName);
  if (reader.problem().ok() && !is_key(section.key)) {
    reader.fail("name", "a-z, 0-9 and _", *reader.find("name"));
  }
  section.title = reader.text("title", true, kLongestTitle);
  if (reader.problem().ok() && !has_word(section.title)) {
    reader.fail("title", "a text with a word", *reader.find("title"));
  }
  section.instruction = reader.text("instruction", false, kLongestText);
  section.max_tokens = reader.whole_number("max_tokens", kFewestTokens, kMostTokens);
  const json* choices = reader.find("choices");
  FASTVLM_RETURN_IF_ERROR(reader.problem());
  if (choices != nullptr) {
    FASTVLM_ASSIGN(section.choices, read_choices(*choices, path + ".choices"));
    if (section.max_tokens) {
      return error(Code::kInvalid, cat(path, ": expected max_tokens or choices, found both"),
                   "a choice is as long as it is");
    }
  }
  return section;
}

// Two sections of one name or title could not be told apart.
Status check_distinct(const std::vector<SectionSpec>& sections, const std::string& path) {
  std::set<std::string> keys, titles;
  for (size_t i = 0; i < sections.size(); ++i) {
    const auto twice = [&](const char* key, const std::string& found) {
      return error(Code::kInvalid,
                   cat(path, "[", i, "].", key, ": \"", found, "\" is there already"),
                   "give each section a name and a title of its own");
    };
    if (!keys.insert(sections[i].key).second) return twice("name", sections[i].key);
    if (!titles.insert(sections[i].title).second) return twice("title", sections[i].title);
  }
  return {};
}

bool is_seven_point(const CaptionSchema& schema) {
  if (schema.sections.size() != kSectionCount) return false;
  for (const Section section : kAllSections) {
    if (schema.sections[static_cast<size_t>(section)].title != section_title(section)) return false;
  }
  return true;
}

// The seven points are read back by parse_sections(), so what it takes for a header is one.
std::optional<size_t> foreign_seven_point(const CaptionSchema& schema, size_t index,
                                          std::string_view value, bool complete) {
  // Inside a line only a number or markup can begin a header.
  if (value.find_first_of("0123456789*_([\n") == std::string_view::npos) return std::nullopt;
  const std::string header = section_header(schema, index);
  // In a text that goes on, a name that ends it might be the beginning of a sentence.
  const std::string text = cat(header, value, complete ? "\n" : " x");
  const std::vector<SectionPart> parts = split_sections(text);
  if (parts.size() < 2) return std::nullopt;
  return std::min(std::max(parts[1].begin, header.size()) - header.size(), value.size());
}

std::string_view without_front(std::string_view text, std::string_view marks) {
  return text.substr(std::min(text.find_first_not_of(marks), text.size()));
}

// Whether a line reads "2. Title…", "## Title", "**Title**: …" or "Title: …".
bool is_header_line(std::string_view line, bool complete, const CaptionSchema& schema) {
  line = without_front(line, " \t#>*_-");
  const size_t digits = std::min(line.find_first_not_of("0123456789"), line.size());
  const bool numbered = digits > 0 && digits < line.size() &&
                        (line[digits] == '.' || line[digits] == ')' || line[digits] == ':');
  if (numbered) line = without_front(line.substr(digits + 1), " \t*_");
  for (const SectionSpec& section : schema.sections) {
    if (!starts_with_ignoring_case(line, section.title)) continue;
    const std::string_view rest = without_front(line.substr(section.title.size()), " \t*_");
    const bool separated = rest.starts_with(':') || rest.starts_with("–") ||
                           rest.starts_with("—") || rest.starts_with("- ");
    const bool alone = complete && trimmed(rest).empty();
    if (separated || alone || (numbered && !rest.empty())) return true;
  }
  return false;
}

}  // namespace

const CaptionSchema& seven_point_schema() {
  static const CaptionSchema kSchema = [] {
    auto schema = parse_caption_schema(prompt_texts::kSevenPointSchema, "seven_point.json");
    return schema.ok() ? std::move(*schema) : CaptionSchema{};
  }();
  return kSchema;
}

Result<CaptionSchema> parse_caption_schema(std::string_view text, const std::string& file) {
  const json document = json::parse(text, nullptr, false);
  if (document.is_discarded()) {
    return error(Code::kInvalid, cat(file, ": expected JSON, found something that does not parse"),
                 "a schema is a JSON object; prompts/seven_point.json is one");
  }
  ObjectReader reader(document, file, {"introduction", "sections", "closing"});
  reader.separate_by(": ");
  CaptionSchema schema;
  schema.name = std::filesystem::path(file).stem().string();
  schema.sha256 = sha256_hex(text);
  schema.introduction = reader.text("introduction", true, kLongestText, true);
  schema.closing = reader.text("closing", false, kLongestText, true);
  const json* sections = reader.find("sections");
  FASTVLM_RETURN_IF_ERROR(reader.problem());
  const std::string path = file + ": sections";
  const json none;
  const json& list = sections == nullptr ? none : *sections;
  if (!list.is_array() || list.empty() || list.size() > kMostSections) {
    return error(Code::kInvalid,
                 cat(path, ": expected a list of 1 to ", kMostSections, " sections, found ",
                     list.is_array() ? cat(list.size()) : shown(list)),
                 "docs/FORMATS.md shows a schema; prompts/seven_point.json is one");
  }
  for (size_t i = 0; i < list.size(); ++i) {
    FASTVLM_ASSIGN(SectionSpec section, read_section(list[i], cat(path, "[", i, "]")));
    schema.sections.push_back(std::move(section));
  }
  FASTVLM_RETURN_IF_ERROR(check_distinct(schema.sections, path));
  return schema;
}

std::string schema_prompt(const CaptionSchema& schema) {
  std::string text = schema.introduction + "\n";
  for (size_t i = 0; i < schema.sections.size(); ++i) {
    const SectionSpec& section = schema.sections[i];
    text += cat("\n", i + 1, ". ", section.title);
    if (!section.instruction.empty()) text += " – " + section.instruction;
    const char* separator = section.instruction.empty() ? " – " : " ";
    if (!section.choices.empty()) text += separator + std::string("One of: ");
    for (size_t c = 0; c < section.choices.size(); ++c) {
      text += cat(c > 0 ? ", " : "", section.choices[c]);
    }
  }
  if (!schema.closing.empty()) text += "\n\n" + schema.closing;
  return text;
}

std::string section_header(const CaptionSchema& schema, size_t index) {
  return cat(index + 1, ". ", schema.sections[index].title, " –");
}

std::optional<size_t> foreign_header(const CaptionSchema& schema, size_t index,
                                     std::string_view value, bool complete) {
  if (is_seven_point(schema)) return foreign_seven_point(schema, index, value, complete);
  for (size_t end = value.find('\n'); end != std::string_view::npos;) {
    const size_t line = end + 1;
    end = value.find('\n', line);
    const bool whole = complete || end != std::string_view::npos;
    if (is_header_line(value.substr(line, end - line), whole, schema)) return line;
  }
  return std::nullopt;
}

}  // namespace fastvlm

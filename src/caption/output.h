// SPDX-License-Identifier: Apache-2.0
// Captions as files: one a picture, or one for all. Goals: made from the JSON form of a caption
// alone, so that a journal can be written out again without a model; the same bytes from the same
// captions. Non-goals: where the files lie.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "caption/object_check.h"
#include "caption/schema.h"
#include "formats/atomic_file.h"

namespace fastvlm {

enum class OutputFormat { kText, kParagraph, kJson, kJsonLines, kCsv, kMarkdown, kXmp };

// "txt", "paragraph", "json", "jsonl", "csv", "markdown", "xmp".
std::string_view format_name(OutputFormat format);
std::string_view format_extension(OutputFormat format);  // ".txt"
// Names separated by commas. kUsage: an unknown name, one that comes twice.
Result<std::vector<OutputFormat>> parse_formats(std::string_view names);
// Of a file for all pictures, by its extension; none: no extension that says it.
std::optional<OutputFormat> format_of_file(const std::filesystem::path& file);
bool is_for_each(OutputFormat format);  // has a form for one picture: all but jsonl and csv
bool is_for_all(OutputFormat format);   // has a form for all pictures: all but xmp

// What outputs show of a caption.
struct WrittenCaption {
  std::string image;
  std::string text;
  // Key and text of all sections that its schema has; no text: the answer lacks it.
  std::vector<std::pair<std::string, std::optional<std::string>>> sections;
  bool made = false;  // the sections are a schema's, not found in a free answer
  std::string finish_reason;
  // The kinds that it mentions and nobody saw; none: that was not asked, or is not known.
  std::optional<ObjectKinds> unseen;
  std::string json;  // on one line
};

// What a journal's captions have and outputs only where it is wanted.
struct WantedParts {
  bool timings = false;
  bool grounding = false;  // then texts for people have marks too
};

// `json` is a line of caption_json.
Result<WrittenCaption> parse_caption(std::string_view json, WantedParts wanted = {});

// The values of the sections that the caption was made to have.
std::vector<std::string> bodies_of(const WrittenCaption& caption);

// A file for one picture.
std::string render(OutputFormat format, const WrittenCaption& caption);

// A file for all pictures, written piece by piece; it appears at finish().
class OutputFile {
 public:
  static Result<OutputFile> create(const std::filesystem::path& path, OutputFormat format);
  Status add(const WrittenCaption& caption);
  Status finish();

 private:
  OutputFile(AtomicFile file, OutputFormat format) : file_(std::move(file)), format_(format) {}
  Status write(std::string_view text);

  AtomicFile file_;
  OutputFormat format_;
  std::vector<std::string> columns_;  // of the first caption
  bool unseen_ = false;               // whether it was checked for what nobody saw
  bool first_ = true;
};

}  // namespace fastvlm

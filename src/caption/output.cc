// SPDX-License-Identifier: Apache-2.0
#include "caption/output.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/strings.h"
#include "caption/caption_style.h"
#include "caption/xmp.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;

struct Named {
  OutputFormat format;
  std::string_view name;
  std::string_view extension;
};
constexpr std::array<Named, 7> kFormats = {{{OutputFormat::kText, "txt", ".txt"},
                                            {OutputFormat::kParagraph, "paragraph", ".txt"},
                                            {OutputFormat::kJson, "json", ".json"},
                                            {OutputFormat::kJsonLines, "jsonl", ".jsonl"},
                                            {OutputFormat::kCsv, "csv", ".csv"},
                                            {OutputFormat::kMarkdown, "markdown", ".md"},
                                            {OutputFormat::kXmp, "xmp", ".xmp"}}};

const Named& named(OutputFormat format) {
  return *std::find_if(kFormats.begin(), kFormats.end(),
                       [&](const Named& each) { return each.format == format; });
}

std::string text_field(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::optional<ObjectKinds> unseen_of(const Json& object) {
  const auto grounding = object.find("grounding");
  if (grounding == object.end() || !grounding->is_object()) return std::nullopt;
  ObjectKinds kinds;
  if (const auto list = grounding->find("unseen"); list != grounding->end()) {
    for (const Json& mention : *list) {
      if (mention.is_object()) kinds.insert(text_field(mention, "object"));
    }
  }
  return kinds;
}

// The seven points have titles; a section of another schema goes by its key.
std::string title_of(std::string_view key) {
  for (const Section section : kAllSections) {
    if (section_key(section) == key) return std::string(section_title(section));
  }
  return std::string(key);
}

ObjectKinds unseen_in(const WrittenCaption& caption) {
  return caption.unseen.value_or(ObjectKinds());
}

std::vector<TitledText> parts_of(const WrittenCaption& caption) {
  std::vector<TitledText> parts;
  for (const auto& [key, text] : caption.sections) {
    if (caption.made && text) parts.push_back({title_of(key), *text});
  }
  if (parts.empty()) parts = parts_of_answer(caption.text);
  return marked(std::move(parts), unseen_in(caption));
}

std::string text_of(const WrittenCaption& caption) {
  return mark_objects(caption.text, bodies_of(caption), unseen_in(caption));
}

std::vector<std::string> columns_of(const WrittenCaption& caption) {
  std::vector<std::string> keys;
  for (const auto& section : caption.sections) keys.push_back(section.first);
  return keys;
}

// A schema's section may be called like a column of ours.
std::string column_name(std::string key, const std::vector<std::string>& columns) {
  constexpr std::array<std::string_view, 4> kOurs = {"image", "text", "unseen", "finish_reason"};
  if (std::find(kOurs.begin(), kOurs.end(), key) == kOurs.end()) return key;
  do {
    key.insert(0, "section_");
  } while (std::find(columns.begin(), columns.end(), key) != columns.end());
  return key;
}

std::string csv_header(const std::vector<std::string>& columns, bool unseen) {
  std::string line = "image,text";
  for (const std::string& key : columns) line += cat(",", csv_field(column_name(key, columns)));
  return cat(line, unseen ? ",unseen" : "", ",finish_reason\n");
}

std::string csv_line(const WrittenCaption& caption, const std::vector<std::string>& columns,
                     bool unseen) {
  std::string line = cat(csv_field(caption.image), ",", csv_field(caption.text));
  for (const std::string& key : columns) {
    const auto found = std::find_if(caption.sections.begin(), caption.sections.end(),
                                    [&](const auto& section) { return section.first == key; });
    const bool there = found != caption.sections.end() && found->second;
    line += cat(",", there ? csv_field(*found->second) : "");
  }
  std::string kinds;
  for (const std::string& kind : unseen_in(caption)) {
    kinds += cat(kinds.empty() ? "" : "; ", kind);
  }
  return cat(line, unseen ? cat(",", csv_field(kinds)) : "", ",", caption.finish_reason, "\n");
}

std::string pretty(const std::string& json) {
  return Json::parse(json, nullptr, false).dump(2) + "\n";
}

// A piece of a file for all pictures, with what stands before it.
std::string piece(OutputFormat format, const WrittenCaption& caption, bool first,
                  const std::vector<std::string>& columns, bool unseen) {
  const std::string separator = first ? "" : "\n";
  switch (format) {
    case OutputFormat::kJson:
      return cat(first ? "\n" : ",\n", caption.json);
    case OutputFormat::kJsonLines:
      return caption.json + "\n";
    case OutputFormat::kCsv:
      return cat(first ? csv_header(columns, unseen) : "", csv_line(caption, columns, unseen));
    case OutputFormat::kMarkdown:
      return cat(separator, "# ", printable(caption.image), "\n\n", as_markdown(parts_of(caption)),
                 "\n");
    case OutputFormat::kParagraph:
      return cat(separator, "== ", printable(caption.image), " ==\n",
                 as_paragraph(parts_of(caption)), "\n");
    default:
      return cat(separator, "== ", printable(caption.image), " ==\n", text_of(caption), "\n");
  }
}

std::string_view ending(OutputFormat format) {
  return format == OutputFormat::kJson ? "\n]\n" : "";
}

}  // namespace

std::string_view format_name(OutputFormat format) {
  return named(format).name;
}

std::string_view format_extension(OutputFormat format) {
  return named(format).extension;
}

Result<std::vector<OutputFormat>> parse_formats(std::string_view names) {
  std::vector<OutputFormat> formats;
  for (const std::string& part : split(names, ',')) {
    const std::string_view given = trimmed(part);
    const std::string_view name = given == "text" ? "txt" : given;  // as on stdout
    const auto* found = std::find_if(kFormats.begin(), kFormats.end(),
                                     [&](const Named& each) { return each.name == name; });
    if (found == kFormats.end()) {
      return error(Code::kUsage, cat("--format: unknown format \"", name, "\""),
                   "choose among txt, paragraph, json, jsonl, csv, markdown, xmp; several with "
                   "commas between them");
    }
    if (std::find(formats.begin(), formats.end(), found->format) != formats.end()) {
      return error(Code::kUsage, cat("--format: ", name, " comes twice"), "name it once");
    }
    formats.push_back(found->format);
  }
  return formats;
}

std::optional<OutputFormat> format_of_file(const std::filesystem::path& file) {
  const std::string extension = file.extension().string();
  for (const Named& each : kFormats) {
    if (extension == each.extension) return each.format;
  }
  return std::nullopt;
}

bool is_for_each(OutputFormat format) {
  return format != OutputFormat::kJsonLines && format != OutputFormat::kCsv;
}

bool is_for_all(OutputFormat format) {
  return format != OutputFormat::kXmp;
}

Result<WrittenCaption> parse_caption(std::string_view json, WantedParts wanted) {
  Json object = Json::parse(json, nullptr, false);
  if (!object.is_object() || !object.contains("image") || !object.contains("text")) {
    return error(Code::kInvalid, cat("expected a caption as JSON, found ", json.substr(0, 40)),
                 "docs/caption.schema.json says what a caption looks like");
  }
  if (!wanted.timings) object.erase("timings");
  if (!wanted.grounding) object.erase("grounding");
  WrittenCaption caption;
  caption.image = text_field(object, "image");
  caption.text = text_field(object, "text");
  caption.finish_reason = text_field(object, "finish_reason");
  const auto sections = object.find("sections");
  if (sections != object.end() && sections->is_object()) {
    for (const auto& [key, text] : sections->items()) {
      caption.sections.emplace_back(
          key, text.is_string() ? std::optional(text.get<std::string>()) : std::nullopt);
    }
  }
  caption.made = object.contains("finish_reasons");
  caption.unseen = unseen_of(object);
  caption.json = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  return caption;
}

std::vector<std::string> bodies_of(const WrittenCaption& caption) {
  std::vector<std::string> bodies;
  for (const auto& section : caption.sections) {
    if (caption.made && section.second) bodies.push_back(*section.second);
  }
  return bodies;
}

std::string render(OutputFormat format, const WrittenCaption& caption) {
  switch (format) {
    case OutputFormat::kParagraph:
      return as_paragraph(parts_of(caption)) + "\n";
    case OutputFormat::kJson:
      return pretty(caption.json);
    case OutputFormat::kMarkdown:
      return as_markdown(parts_of(caption)) + "\n";
    case OutputFormat::kXmp:
      return xmp_packet(caption.text);
    case OutputFormat::kJsonLines:
    case OutputFormat::kCsv:
      return piece(format, caption, true, columns_of(caption), caption.unseen.has_value());
    case OutputFormat::kText:
      break;
  }
  return text_of(caption) + "\n";
}

Result<OutputFile> OutputFile::create(const std::filesystem::path& path, OutputFormat format) {
  FASTVLM_ASSIGN(AtomicFile file, AtomicFile::create(path));
  OutputFile output(std::move(file), format);
  if (format == OutputFormat::kJson) FASTVLM_RETURN_IF_ERROR(output.write("["));
  return output;
}

Status OutputFile::add(const WrittenCaption& caption) {
  if (first_) {
    columns_ = columns_of(caption);
    unseen_ = caption.unseen.has_value();
  }
  return write(piece(format_, caption, std::exchange(first_, false), columns_, unseen_));
}

Status OutputFile::finish() {
  if (first_ && format_ == OutputFormat::kCsv) {
    std::vector<std::string> columns;
    for (const Section section : kAllSections) columns.emplace_back(section_key(section));
    FASTVLM_RETURN_IF_ERROR(write(csv_header(columns, false)));
  }
  FASTVLM_RETURN_IF_ERROR(write(ending(format_)));
  return file_.commit();
}

Status OutputFile::write(std::string_view text) {
  return file_.write(std::as_bytes(std::span(text)));
}

}  // namespace fastvlm

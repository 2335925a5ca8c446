// SPDX-License-Identifier: Apache-2.0
#include "caption/output.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <span>
#include <utility>

#include "base/strings.h"
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

bool has_sections(const WrittenCaption& caption) {
  return std::any_of(caption.sections.begin(), caption.sections.end(),
                     [](const auto& section) { return section.has_value(); });
}

// On one line: every run of blanks and line ends is a space.
std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank) {
      line += c;
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  return std::string(trimmed(line));
}

// What the sections say, without their headers; an answer without sections as it is.
std::string paragraph(const WrittenCaption& caption) {
  if (!has_sections(caption)) return one_line(caption.text);
  std::string text;
  for (const auto& section : caption.sections) {
    const std::string line = section ? one_line(*section) : "";
    if (line.empty()) continue;
    text += cat(text.empty() ? "" : " ", line);
    if (std::string_view(".!?").find(text.back()) == std::string_view::npos) text += '.';
  }
  return text;
}

// `level` signs before each header.
std::string markdown(const WrittenCaption& caption, std::string_view level) {
  if (!has_sections(caption)) return caption.text + "\n";
  std::string text;
  for (const Section section : kAllSections) {
    const auto& body = caption.sections[static_cast<size_t>(section)];
    if (!body) continue;
    text += cat(text.empty() ? "" : "\n", level, " ", section_title(section), "\n\n", *body, "\n");
  }
  return text;
}

std::string csv_header() {
  std::string line = "image,text";
  for (const Section section : kAllSections) line += cat(",", section_key(section));
  return line + ",finish_reason\n";
}

std::string csv_line(const WrittenCaption& caption) {
  std::string line = cat(csv_field(caption.image), ",", csv_field(caption.text));
  for (const auto& section : caption.sections) {
    line += cat(",", section ? csv_field(*section) : "");
  }
  return cat(line, ",", caption.finish_reason, "\n");
}

std::string pretty(const std::string& json) {
  return Json::parse(json, nullptr, false).dump(2) + "\n";
}

// A file for all pictures: what stands before the first, before each, and after the last.
std::string opening(OutputFormat format) {
  if (format == OutputFormat::kJson) return "[";
  return format == OutputFormat::kCsv ? csv_header() : "";
}

std::string piece(OutputFormat format, const WrittenCaption& caption, bool first) {
  const std::string separator = first ? "" : "\n";
  switch (format) {
    case OutputFormat::kJson:
      return cat(first ? "\n" : ",\n", caption.json);
    case OutputFormat::kJsonLines:
      return caption.json + "\n";
    case OutputFormat::kCsv:
      return csv_line(caption);
    case OutputFormat::kMarkdown:
      return cat(separator, "# ", printable(caption.image), "\n\n", markdown(caption, "##"));
    case OutputFormat::kParagraph:
      return cat(separator, "== ", printable(caption.image), " ==\n", paragraph(caption), "\n");
    default:
      return cat(separator, "== ", printable(caption.image), " ==\n", caption.text, "\n");
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
    const std::string_view name = trimmed(part);
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

Result<WrittenCaption> parse_caption(std::string_view json, bool timings) {
  Json object = Json::parse(json, nullptr, false);
  if (!object.is_object() || !object.contains("image") || !object.contains("text")) {
    return error(Code::kInvalid, cat("expected a caption as JSON, found ", json.substr(0, 40)),
                 "docs/caption.schema.json says what a caption looks like");
  }
  if (!timings) object.erase("timings");
  WrittenCaption caption;
  caption.image = text_field(object, "image");
  caption.text = text_field(object, "text");
  caption.finish_reason = text_field(object, "finish_reason");
  const auto sections = object.find("sections");
  if (sections != object.end() && sections->is_object()) {
    for (const Section section : kAllSections) {
      const std::string key(section_key(section));
      if (!sections->contains(key) || !(*sections)[key].is_string()) continue;
      caption.sections[static_cast<size_t>(section)] = text_field(*sections, key.c_str());
    }
  }
  caption.json = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  return caption;
}

std::string render(OutputFormat format, const WrittenCaption& caption) {
  switch (format) {
    case OutputFormat::kParagraph:
      return paragraph(caption) + "\n";
    case OutputFormat::kJson:
      return pretty(caption.json);
    case OutputFormat::kMarkdown:
      return markdown(caption, "##");
    case OutputFormat::kXmp:
      return xmp_packet(caption.text);
    case OutputFormat::kJsonLines:
    case OutputFormat::kCsv:
      return opening(format) + piece(format, caption, true);
    case OutputFormat::kText:
      break;
  }
  return caption.text + "\n";
}

Result<OutputFile> OutputFile::create(const std::filesystem::path& path, OutputFormat format) {
  FASTVLM_ASSIGN(AtomicFile file, AtomicFile::create(path));
  OutputFile output(std::move(file), format);
  FASTVLM_RETURN_IF_ERROR(output.write(opening(format)));
  return output;
}

Status OutputFile::add(const WrittenCaption& caption) {
  return write(piece(format_, caption, std::exchange(first_, false)));
}

Status OutputFile::finish() {
  FASTVLM_RETURN_IF_ERROR(write(ending(format_)));
  return file_.commit();
}

Status OutputFile::write(std::string_view text) {
  return file_.write(std::as_bytes(std::span(text)));
}

}  // namespace fastvlm

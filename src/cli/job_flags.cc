// SPDX-License-Identifier: Apache-2.0
#include "cli/job_flags.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "cli/flags.h"
#include "cli/outputs.h"
#include "image/description.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSelectionGroup = "Many pictures";
constexpr size_t kMostListBytes = size_t{1} << 30;

std::optional<size_t> whole_number(std::string_view text) {
  size_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size() || text.empty()) return {};
  return value;
}

std::string read_stdin() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

Status bad_shard(const std::string& text, std::string_view found) {
  return error(
      Code::kUsage, cat("--shard ", text, ": ", found),
      "0/2 and 1/2 are the halves; auto takes the rank of mpirun or srun, auto/8 the index "
      "of a Kubernetes job of 8");
}

// The rank and the number of processes in the environment. Open MPI comes first: its processes also
// see the variables of the Slurm job that they run in.
Result<Shard> shard_of_environment(const std::string& text, std::optional<size_t> count,
                                   const std::function<const char*(const char*)>& variable) {
  struct Names {
    const char* rank;
    const char* size;
  };
  constexpr Names kNames[] = {{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                              {"SLURM_PROCID", "SLURM_NTASKS"},
                              {"JOB_COMPLETION_INDEX", nullptr}};
  for (const Names& names : kNames) {
    const char* rank = variable(names.rank);
    const char* size = names.size == nullptr ? nullptr : variable(names.size);
    if (rank == nullptr || (names.size != nullptr && size == nullptr)) continue;
    const auto index = whole_number(rank);
    const auto known = size == nullptr ? count : whole_number(size);
    if (!known) return bad_shard(text, cat(names.rank, " is set, but not how many there are"));
    if (!index || *index >= *known || (count && count != known)) {
      return bad_shard(text, cat(names.rank, " is ", rank, " of ", *known));
    }
    return Shard{*index, *known};
  }
  return bad_shard(text,
                   "expected OMPI_COMM_WORLD_RANK, SLURM_PROCID or JOB_COMPLETION_INDEX in the "
                   "environment, found none");
}

}  // namespace

Result<Shard> parse_shard(const std::string& text,
                          const std::function<const char*(const char*)>& variable) {
  if (text.empty()) return Shard{};
  const size_t slash = text.find('/');
  const std::string first = text.substr(0, slash);
  std::optional<size_t> count;
  if (slash != std::string::npos) {
    count = whole_number(std::string_view(text).substr(slash + 1));
    if (!count || *count == 0) return bad_shard(text, "expected a number behind the /");
  }
  if (first == "auto") return shard_of_environment(text, count, variable);
  const auto index = whole_number(first);
  if (!index || !count || *index >= *count) {
    return bad_shard(text, "expected i/n with i from 0 to n - 1");
  }
  return Shard{*index, *count};
}

fs::path shard_file(const fs::path& file, Shard shard) {
  if (shard.count == 1) return file;
  fs::path name = file;
  return name.replace_extension(
      cat(".", shard.index, "-of-", shard.count, file.extension().string()));
}

void SelectionFlags::add_filters_to(CLI::App& command) {
  const std::string group = kSelectionGroup;
  command.add_flag("-r,--recursive", recursive_, "Enter the folders inside a folder")->group(group);
  command.add_option("--include", include_, "Only pictures that fit: '*.jpg', '2024/**'")
      ->option_text("PATTERN...")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
  command.add_option("--exclude", exclude_, "No pictures and folders that fit")
      ->option_text("PATTERN...")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->group(group);
}

void SelectionFlags::add_to(CLI::App& command) {
  add_filters_to(command);
  const std::string group = kSelectionGroup;
  command.add_option("--list", list_, "File with the paths of pictures, one a line; -: stdin")
      ->option_text("FILE")
      ->check(is_not_empty())
      ->group(group);
  command.add_flag("--null", null_, "Paths in the list end with a NUL, as find -print0 has them")
      ->group(group);
  command.add_option("--root", root_, "Outputs name pictures by where they lie below this")
      ->option_text("FOLDER")
      ->check(is_not_empty())
      ->group(group);
  command.add_option("--limit", limit_, "Only the first N")
      ->option_text("N")
      ->check(CLI::Range(1, 1 << 30))
      ->group(group);
  command.add_flag("--shuffle", shuffle_, "In an order drawn by --seed, before --limit")
      ->group(group);
  command.add_option("--shard", shard_, "Part i of n: 0/2; auto: as mpirun or srun says")
      ->option_text("i/n")
      ->check(is_not_empty())
      ->group(group);
}

bool SelectionFlags::needed(const std::vector<std::string>& places) const {
  const bool asked = recursive_ || !list_.empty() || !include_.empty() || !exclude_.empty() ||
                     !root_.empty() || limit_ > 0 || shuffle_ || !shard_.empty();
  return asked || std::any_of(places.begin(), places.end(), [](const std::string& place) {
           std::error_code ignored;
           return place == "-" || fs::is_directory(place, ignored) ||
                  (is_pattern(place) && !fs::exists(place, ignored));
         });
}

Result<Shard> SelectionFlags::shard() const {
  return parse_shard(shard_, [](const char* name) { return std::getenv(name); });
}

Result<std::vector<Picture>> SelectionFlags::find(const std::vector<std::string>& places,
                                                  uint64_t seed) const {
  Selection selection;
  FASTVLM_ASSIGN(selection.shard, shard());
  const char separator = null_ ? '\0' : '\n';
  bool from_stdin = list_ == "-";
  for (const std::string& place : places) {
    if (place == "-") {
      from_stdin = true;
    } else {
      selection.places.push_back(place);
    }
  }
  if (from_stdin) selection.listed = list_entries(read_stdin(), separator);
  if (!list_.empty() && list_ != "-") {
    FASTVLM_ASSIGN(const std::string text, read_text_file(list_, kMostListBytes));
    if (text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF")) {
      return error(Code::kInvalid, cat(list_, ": expected a list in UTF-8, found UTF-16"),
                   "write it again as UTF-8");
    }
    for (std::string& entry : list_entries(text, separator)) {
      selection.listed.push_back(std::move(entry));
    }
  }
  if (selection.places.empty() && selection.listed.empty()) {
    const std::string where = from_stdin ? "stdin" : list_;
    return error(Code::kUsage,
                 where.empty() ? "no image given, so there is nothing to caption"
                               : cat(where, ": the list of pictures is empty"),
                 "name pictures, or folders of them; questions without a picture are not for this "
                 "model");
  }
  selection.recursive = recursive_;
  selection.include = include_;
  selection.exclude = exclude_;
  selection.root = root_;
  selection.shuffle = shuffle_;
  selection.seed = seed;
  selection.limit = limit_;
  return find_pictures(selection);
}

void OutputFlags::add_to(CLI::App& command) {
  const std::string group = "Files instead of stdout";
  command.add_option("--out", out_, "A file for all pictures (captions.jsonl), or a folder")
      ->option_text("FILE|FOLDER")
      ->check(is_not_empty())
      ->group(group);
  command.add_flag("--sidecar", sidecar_, "A file beside each picture: a.txt for a.jpg")
      ->group(group);
  command
      .add_flag("--embed", embed_,
                "Into the pictures themselves, JPEG and PNG: dc:description of their XMP")
      ->group(group);
  command
      .add_option(
          "--format", format_,
          "Files: txt, paragraph, json, jsonl, csv, markdown, xmp; several with commas [that "
          "of --out, or txt]. Stdout: text, paragraph, markdown or json")
      ->option_text("LIST")
      ->group(group);
  command
      .add_option("--existing", existing_, "Files that are there: skip, overwrite, append, prepend")
      ->check(CLI::IsMember({"skip", "overwrite", "append", "prepend"}))
      ->capture_default_str()
      ->group(group);
  command.add_flag("--full-names", full_names_, "a.jpg.txt instead of a.txt")->group(group);
  command.add_option("--journal", journal_, "What is done, for the next run [beside the output]")
      ->option_text("FILE")
      ->check(is_not_empty())
      ->group(group);
  command
      .add_option("--from-journal", from_journal_,
                  "Write the outputs again from this journal, without a model")
      ->option_text("FILE")
      ->check(is_not_empty())
      ->group(group);
  command.add_flag("--quiet", quiet_, "No progress on stderr, only what went wrong")->group(group);
}

void OutputFlags::add_gallery_to(CLI::App& command) {
  command.add_option("--gallery", gallery_, "A page to look through: pictures, captions, search")
      ->option_text("FILE.html")
      ->check(is_not_empty())
      ->group("Files instead of stdout");
}

bool OutputFlags::into_folder() const {
  std::error_code ignored;
  return !out_.empty() &&
         (fs::is_directory(out_, ignored) || out_.ends_with('/') || !format_of_file(out_));
}

void OutputFlags::add_folder(const std::vector<OutputFormat>& formats, Shard shard,
                             JobOutputs& outputs) const {
  for (const OutputFormat format : formats) {
    if (is_for_each(format)) {
      outputs.each.push_back(format);
    } else {
      const fs::path name = cat("captions", format_extension(format));
      outputs.all.emplace_back(format, shard_file(fs::path(out_) / name, shard));
    }
  }
  if (!beside()) outputs.folder = out_;
}

Status OutputFlags::add_file(const std::vector<OutputFormat>& formats, Shard shard,
                             JobOutputs& outputs) const {
  // Of .txt there are two.
  OutputFormat own = *format_of_file(out_);
  if (own == OutputFormat::kText && !beside() && formats.size() == 1 &&
      formats[0] == OutputFormat::kParagraph) {
    own = OutputFormat::kParagraph;
  }
  if (!is_for_all(own)) {
    return error(Code::kUsage, cat("--out ", out_, ": XMP has a file for each picture"),
                 "give --sidecar --format xmp, or a folder");
  }
  outputs.all.emplace_back(own, shard_file(out_, shard));
  for (const OutputFormat format : formats) {
    if (beside() && is_for_each(format)) {
      outputs.each.push_back(format);
    } else if (format != own) {
      return error(Code::kUsage,
                   cat("--out ", out_, ": is one file, and --format ", format_name(format),
                       " needs another"),
                   beside() ? "give --out a folder; the files beside the pictures stay there"
                            : "give --out a folder, or add --sidecar");
    }
  }
  if (beside() && outputs.each.empty()) outputs.each.push_back(OutputFormat::kText);
  return {};
}

Result<JobOutputs> OutputFlags::outputs(Shard shard) const {
  JobOutputs outputs;
  outputs.full_names = full_names_;
  outputs.embed = embed_;
  const std::map<std::string, Existing> kinds = {{"skip", Existing::kSkip},
                                                 {"overwrite", Existing::kOverwrite},
                                                 {"append", Existing::kAppend},
                                                 {"prepend", Existing::kPrepend}};
  outputs.existing = kinds.at(existing_);
  std::vector<OutputFormat> formats;
  if (!format_.empty()) {
    FASTVLM_ASSIGN(formats, parse_formats(format_));
  }
  const bool folder = into_folder();
  if (std::error_code ignored; folder && fs::is_regular_file(out_, ignored)) {
    return error(Code::kUsage, cat("--out ", out_, ": what is to be in this file?"),
                 "end its name with .jsonl, .json, .csv, .md or .txt, or name a folder");
  }
  if (!out_.empty() && !folder) {
    FASTVLM_RETURN_IF_ERROR(add_file(formats, shard, outputs));
  } else {
    if (formats.empty() && (beside() || folder)) formats = {OutputFormat::kText};
    for (const OutputFormat format : formats) {
      if (folder || (is_for_each(format) && beside())) continue;
      return error(Code::kUsage, cat("--format ", format_name(format), ": where to?"),
                   is_for_each(format) ? "give --sidecar, or --out with a file or a folder"
                                       : "give --out with a file or a folder");
    }
    add_folder(formats, shard, outputs);
  }
  const bool adds = outputs.existing == Existing::kAppend || outputs.existing == Existing::kPrepend;
  const bool texts = std::all_of(outputs.each.begin(), outputs.each.end(), [](OutputFormat format) {
    return format == OutputFormat::kText || format == OutputFormat::kParagraph;
  });
  if (adds && (!texts || (outputs.each.empty() && !embed_))) {
    return error(Code::kUsage, cat("--existing ", existing_, ": only texts can be added to"),
                 "ask for --embed, or for --sidecar or a folder with --format txt or paragraph "
                 "alone");
  }
  return outputs;
}

fs::path OutputFlags::journal_of(const JobOutputs& outputs, const std::vector<std::string>& places,
                                 Shard shard) const {
  if (!journal_.empty()) return shard_file(journal_, shard);
  if (!out_.empty() && !into_folder()) return outputs.all[0].second.string() + ".journal";
  std::error_code ignored;
  if (out_.empty() && !beside() && !embed_ && !gallery_.empty()) {
    return shard_file(gallery_, shard).string() + ".journal";
  }
  fs::path folder = out_;
  if (out_.empty() && places.size() == 1 && fs::is_directory(places[0], ignored)) {
    folder = places[0];
  }
  return shard_file(folder / "captions.journal", shard);
}

Result<JobFiles> OutputFlags::files(const std::vector<std::string>& places, Shard shard) const {
  JobFiles files;
  if (embed_ && !can_write_descriptions()) {
    return error(Code::kUnsupported, "--embed: this build does not write into pictures",
                 "write sidecars with --sidecar --format xmp, or build with "
                 "-DFASTVLM_WITH_EXEMPI=ON");
  }
  FASTVLM_ASSIGN(files.outputs, outputs(shard));
  files.journal = journal_of(files.outputs, places, shard);
  if (!gallery_.empty()) files.gallery = shard_file(gallery_, shard);
  std::error_code failed;
  const bool known = fs::exists(files.journal, failed) || !from_journal_.empty();
  const bool replaced = files.outputs.existing == Existing::kOverwrite ||
                        (known && (from_journal_.empty() || files.journal == from_journal_));
  std::vector<fs::path> whole;
  for (const auto& entry : files.outputs.all) whole.push_back(entry.second);
  if (!files.gallery.empty()) whole.push_back(files.gallery);
  for (const fs::path& file : whole) {
    if (replaced || !fs::exists(file, failed)) continue;
    return error(Code::kUsage,
                 cat(file.string(), ": is there, and no run with this journal wrote it"),
                 "--existing overwrite replaces it; else name another file");
  }
  if (into_folder()) {
    fs::create_directories(out_, failed);
    if (!fs::is_directory(out_, failed)) {
      return error(Code::kIo, cat("--out ", out_, ": the folder cannot be made"),
                   "check the folder above it and its permissions");
    }
  }
  return files;
}

}  // namespace fastvlm::cli

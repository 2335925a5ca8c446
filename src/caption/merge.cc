// SPDX-License-Identifier: Apache-2.0
#include "caption/merge.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "caption/journal.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kJournalExtension = ".journal";

// One input: a journal, or the lines of captions by picture.
struct Part {
  fs::path path;
  std::optional<Journal> journal;
  std::unordered_map<std::string, LinePlace> lines;

  static Result<Part> read(const fs::path& path);
  std::vector<std::string> images() const;
  // What outputs show of its captions.
  WantedParts shown(WantedParts wanted) const {
    return journal ? wanted : WantedParts{.grounding = true};
  }
  Result<std::optional<JournalRecord>> find(const std::string& image) const;
};

Result<Part> Part::read(const fs::path& path) {
  Part part;
  part.path = path;
  FASTVLM_ASSIGN(const std::string beginning, read_beginning(path, kJournalFirstLine.size()));
  if (beginning == kJournalFirstLine) {
    FASTVLM_ASSIGN(part.journal, Journal::read(path));
    return part;
  }
  size_t number = 0;
  const auto add = [&](std::string_view line, LinePlace place) -> Status {
    ++number;
    if (trimmed(line).empty()) return {};
    const auto caption = parse_caption(line);
    if (!caption.ok()) {
      return error(Code::kInvalid,
                   cat(path.string(), ": line ", number, ": ", caption.status().message),
                   "name journals of folder jobs, or files of --format jsonl");
    }
    part.lines.emplace(caption->image, place);
    return {};
  };
  FASTVLM_ASSIGN(const std::string torn, visit_lines(path, add));
  if (torn.empty()) return part;
  return error(Code::kInvalid, cat(path.string(), ": its last line is cut off"),
               "finish the run that writes it, or name its journal");
}

std::vector<std::string> Part::images() const {
  std::vector<std::string> names;
  if (!journal) {
    for (const auto& [image, place] : lines) names.push_back(image);
    return names;
  }
  return journal->plan().images.empty() ? journal->images() : journal->plan().images;
}

Result<std::optional<JournalRecord>> Part::find(const std::string& image) const {
  if (journal) {
    const JournalEntry* entry = journal->find(image);
    if (entry == nullptr || !entry->captioned) return std::optional<JournalRecord>();
    FASTVLM_ASSIGN(JournalRecord record, journal->record(entry->place));
    return std::optional(std::move(record));
  }
  const auto found = lines.find(image);
  if (found == lines.end()) return std::optional<JournalRecord>();
  FASTVLM_ASSIGN(std::string line, read_line(path, found->second));
  return std::optional(JournalRecord{image, image, std::move(line)});
}

Status check_settings(const std::vector<Part>& parts) {
  const Part* first = nullptr;
  for (const Part& part : parts) {
    if (!part.journal) continue;
    if (first == nullptr) first = &part;
    if (part.journal->settings() == first->journal->settings()) continue;
    return error(Code::kInvalid,
                 cat(part.path.string(), ": made with other settings than ", first->path.string()),
                 "merge runs of one model and the same options; the first lines show them");
  }
  return {};
}

// The parts by their number, when they are shards of one job; else empty.
std::map<size_t, const Part*> shards_of(const std::vector<Part>& parts, size_t& count) {
  std::map<size_t, const Part*> shards;
  count = 0;
  for (const Part& part : parts) {
    if (!part.journal || part.journal->plan().shards < 2) return {};
    const JobPlan& plan = part.journal->plan();
    if (count != 0 && plan.shards != count) return {};
    count = plan.shards;
    if (!shards.emplace(plan.shard, &part).second) return {};
  }
  return shards;
}

// Every count-th picture of a job is one shard's.
std::vector<std::string> interleaved(const std::map<size_t, const Part*>& shards) {
  std::vector<std::string> images;
  bool more = true;
  for (size_t row = 0; more; ++row) {
    more = false;
    for (const auto& [index, part] : shards) {
      const auto& plan = part->journal->plan().images;
      if (row >= plan.size()) continue;
      images.push_back(plan[row]);
      more = true;
    }
  }
  return images;
}

// Is all that a shard has to do in the plan of a run over everything?
bool is_covered(const Part& shard, const std::vector<Part>& parts) {
  std::set<std::string> images;
  for (const Part& part : parts) {
    if (!part.journal || part.journal->plan().shards > 1) continue;
    for (std::string& image : part.images()) images.insert(std::move(image));
  }
  const std::vector<std::string> wanted = shard.images();
  return std::all_of(wanted.begin(), wanted.end(),
                     [&](const std::string& image) { return images.contains(image); });
}

// Shards of jobs that inputs are of, but not these.
std::vector<size_t> missing_shards(const std::vector<Part>& parts) {
  std::map<size_t, std::set<size_t>> present;  // by the number of shards
  for (const Part& part : parts) {
    if (!part.journal || part.journal->plan().shards < 2 || is_covered(part, parts)) continue;
    present[part.journal->plan().shards].insert(part.journal->plan().shard);
  }
  std::set<size_t> missing;
  for (const auto& [count, shards] : present) {
    for (size_t i = 0; i < count; ++i) {
      if (!shards.contains(i)) missing.insert(i);
    }
  }
  return {missing.begin(), missing.end()};
}

std::vector<std::string> order_of(const std::vector<Part>& parts) {
  size_t count = 0;
  const auto shards = shards_of(parts, count);
  if (shards.empty()) {
    std::set<std::string> names;
    for (const Part& part : parts) {
      for (std::string& image : part.images()) names.insert(std::move(image));
    }
    return {names.begin(), names.end()};
  }
  return interleaved(shards);
}

struct Chosen {
  JournalRecord record;
  const Part* part;
};

// The caption that counts, after a look at the others.
Result<std::optional<Chosen>> choose(const std::vector<Part>& parts, const std::string& image,
                                     MergeReport& report) {
  std::optional<Chosen> chosen;
  std::string text;
  bool repeated = false;
  bool different = false;
  bool failed = false;
  for (const Part& part : parts) {
    FASTVLM_ASSIGN(auto found, part.find(image));
    failed = failed || (part.journal && part.journal->find(image) != nullptr);
    if (!found) continue;
    FASTVLM_ASSIGN(const WrittenCaption caption, parse_caption(found->caption));
    if (chosen) {
      repeated = true;
      different = different || caption.json != text;
    } else {
      text = caption.json;
      chosen = Chosen{std::move(*found), &part};
    }
  }
  if (!chosen) (failed ? report.failed : report.missing).push_back(image);
  if (different) {
    report.different.push_back(image);
  } else if (repeated) {
    ++report.repeated;
  }
  return chosen;
}

// Where the chosen captions go.
class Target {
 public:
  static Result<Target> open(const fs::path& path, const std::vector<Part>& parts,
                             const std::vector<std::string>& images);
  Status add(const Chosen& chosen, WantedParts wanted);
  Status finish() { return file_ ? file_->finish() : Status{}; }

 private:
  std::optional<OutputFile> file_;
  std::optional<Journal> journal_;
};

Result<Target> Target::open(const fs::path& path, const std::vector<Part>& parts,
                            const std::vector<std::string>& images) {
  Target target;
  if (path.extension() == kJournalExtension) {
    const bool journals = std::all_of(parts.begin(), parts.end(),
                                      [](const Part& part) { return part.journal.has_value(); });
    if (!journals) {
      return error(Code::kUsage, cat(path.string(), ": a journal is made of journals only"),
                   "name the journals of the runs, or merge into a .jsonl");
    }
    FASTVLM_ASSIGN(target.journal_, Journal::open(path, parts.front().journal->settings()));
    FASTVLM_RETURN_IF_ERROR(target.journal_->set_plan({images, 0, 1}));
    return target;
  }
  const auto format = format_of_file(path);
  if (!format || !is_for_all(*format)) {
    return error(Code::kUsage, cat(path.string(), ": its name does not say what is to be in it"),
                 "end it with .jsonl, .json, .csv, .md, .txt or .journal");
  }
  FASTVLM_ASSIGN(target.file_, OutputFile::create(path, *format));
  return target;
}

Status Target::add(const Chosen& chosen, WantedParts wanted) {
  const JournalRecord& record = chosen.record;
  if (journal_) {
    const JournalEntry& entry = *chosen.part->journal->find(record.image);
    FASTVLM_RETURN_IF_ERROR(journal_->add(record, entry.stamp));
    return entry.embedded ? journal_->add_embedded(record.image, *entry.embedded) : Status{};
  }
  FASTVLM_ASSIGN(const WrittenCaption caption,
                 parse_caption(record.caption, chosen.part->shown(wanted)));
  return file_->add(caption);
}

}  // namespace

Result<MergeReport> merge_results(const std::vector<fs::path>& inputs, const fs::path& output,
                                  WantedParts wanted) {
  std::vector<Part> parts;
  for (const fs::path& input : inputs) {
    FASTVLM_ASSIGN(Part part, Part::read(input));
    parts.push_back(std::move(part));
  }
  FASTVLM_RETURN_IF_ERROR(check_settings(parts));
  MergeReport report;
  report.missing_shards = missing_shards(parts);
  const std::vector<std::string> images = order_of(parts);
  FASTVLM_ASSIGN(Target target, Target::open(output, parts, images));
  for (const std::string& image : images) {
    FASTVLM_ASSIGN(const auto chosen, choose(parts, image, report));
    if (!chosen) continue;
    FASTVLM_RETURN_IF_ERROR(target.add(*chosen, wanted));
    ++report.captions;
  }
  if (report.captions == 0) {
    return error(Code::kInvalid, "none of the inputs holds a caption", "run the job first");
  }
  FASTVLM_RETURN_IF_ERROR(target.finish());
  return report;
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "caption/job.h"

#include <unistd.h>

#include <algorithm>
#include <future>
#include <map>
#include <memory>
#include <set>
#include <span>

#include "base/file_digest.h"
#include "base/mapped_file.h"
#include "base/sha256.h"
#include "base/strings.h"
#include "caption/xmp.h"
#include "formats/atomic_file.h"
#include "image/description.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

// A disk that is full refuses all files, a strange name only its own.
constexpr size_t kMostFailedWritesInARow = 3;
constexpr size_t kMostOutputBytes = size_t{256} << 20;  // of a file that a caption is added to

bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// `text` behind or before what is there, on a line of its own; unchanged when it stands there
// already, so that a run that was ended between two steps may take the second one twice.
std::string joined(const std::string& there, const std::string& text, Existing how) {
  if (there.empty()) return text;
  if (how == Existing::kPrepend) return there.starts_with(text) ? there : text + there;
  if (there.ends_with(text)) return there;
  return cat(there, there.ends_with('\n') ? "" : "\n", text);
}

// What a run left half-written that was killed.
void remove_leftovers(const JobOutputs& outputs, const std::vector<Picture>& pictures) {
  std::map<fs::path, std::set<std::string>> names;
  const auto add = [&](const fs::path& file) {
    names[file.has_parent_path() ? file.parent_path() : "."].insert(file.filename().string());
  };
  for (const auto& [format, file] : outputs.all) add(file);
  for (const Picture& picture : pictures) {
    for (const OutputFormat format : outputs.each) add(output_of(outputs, format, picture));
    if (outputs.embed) add(picture.path);
  }
  for (const auto& [folder, files] : names) remove_abandoned_files(folder, files);
}

// Is this file still as it was then?
bool is_as(const fs::path& file, const FileStamp& now, const FileStamp& then) {
  if (now.bytes != then.bytes) return false;
  if (now.modified == then.modified) return true;
  const Result<std::string> digest = sha256_of_file(file);
  return digest.ok() && *digest == then.sha256;
}

Status check_embeddable(const fs::path& picture) {
  FASTVLM_ASSIGN(const MappedFile file, MappedFile::open(picture));
  FASTVLM_RETURN_IF_ERROR(check_describable(file.bytes(), picture.string()));
  if (::access(picture.c_str(), W_OK) == 0) return {};
  return error(Code::kInvalid, cat(picture.string(), ": may not be written"),
               "change its permissions, or write sidecars with --sidecar --format xmp");
}

Status interrupted() {
  return error(Code::kInterrupted, "interrupted",
               "the same command goes on where this one stopped");
}

// What the answer is made to fit.
std::string describe_sections(const CaptionRequest& request) {
  if (request.free) return "free";
  if (request.schema) return cat(request.schema->name, " ", request.schema->sha256);
  if (request.json_schema) return cat(request.json_schema->name, " ", request.json_schema->sha256);
  return "as the prompt asks";
}

}  // namespace

fs::path output_of(const JobOutputs& outputs, OutputFormat format, const Picture& picture) {
  fs::path file = outputs.folder.empty() ? fs::path(picture.path) : outputs.folder / picture.name;
  // What Lightroom calls a.xmp belongs to a raw file; for a JPEG others read a.jpg.xmp.
  const bool full = outputs.full_names || format == OutputFormat::kXmp;
  const std::string extension(format_extension(format));
  return full ? fs::path(file.string() + extension) : file.replace_extension(extension);
}

Status check_outputs_of_each(const JobOutputs& outputs, const std::vector<Picture>& pictures) {
  std::map<std::string, const Picture*> writers;
  std::set<std::string> folders;
  for (const Picture& picture : pictures) {
    for (const OutputFormat format : outputs.each) {
      const fs::path file = output_of(outputs, format, picture);
      const auto [found, added] = writers.emplace(file.string(), &picture);
      if (!added) {
        const bool same = found->second == &picture;
        return error(Code::kUsage,
                     same ? cat("--format: two of these formats would write ", file.string())
                          : cat(found->second->path, " and ", picture.path, " would both write ",
                                file.string()),
                     same ? "ask for one of them"
                          : "--full-names writes a.jpg.txt and a.png.txt instead of a.txt");
      }
      folders.insert(file.parent_path().string());
    }
    if (outputs.embed) folders.insert(fs::path(picture.path).parent_path().string());
  }
  for (const std::string& folder : folders) {
    const char* place = folder.empty() ? "." : folder.c_str();
    if (!is_there(place) || ::access(place, W_OK) == 0) continue;
    return error(Code::kIo, cat(place, ": files cannot be written into this folder"),
                 "change its permissions, leave it out with --exclude, or write elsewhere with "
                 "--out FOLDER");
  }
  return {};
}

Result<JobSettings> job_settings(const CaptionRequest& request, const Engine& engine,
                                 const std::string& tags, bool upright) {
  FASTVLM_ASSIGN(const ModelIdentity model, engine.identity());
  JobSettings settings{{"model", model.name},
                       {"model_sha256", model.sha256},
                       {"weights", model.weights},
                       {"precision", describe_precision(engine.precision())},
                       {"preprocessing", describe(engine.preprocessing())},
                       {"exif", upright ? "applied" : "ignored"},
                       {"prompt_sha256", sha256_hex(request.prompt)},
                       {"sections", describe_sections(request)},
                       {"tags", tags},
                       {"order", std::string(order_name(request.order))},
                       {"sampling", describe_sampling(request.sampling, request.beams)},
                       {"seed", cat(request.sampling.seed)},
                       {"max_tokens", cat(request.max_tokens)},
                       {"stop_on_loop", request.stop_on_loop ? "yes" : "no"}};
  if (model.adapter) {
    settings.emplace_back("adapter", cat(model.adapter->sha256, " x ", model.adapter->strength));
  }
  return settings;
}

// A picture as the reading thread hands it over.
struct Job::Loaded {
  FileStamp stamp;
  Result<Image> image = Status{};

  static std::unique_ptr<Loaded> read(const std::string& path, const DecodeOptions& options) {
    auto loaded = std::make_unique<Loaded>();
    const auto load = [&]() -> Result<Image> {
      FASTVLM_ASSIGN(loaded->stamp, stamp_of(path));
      FASTVLM_ASSIGN(loaded->stamp.sha256, sha256_of_file(path));
      return load_image(path, options);
    };
    loaded->image = load();
    return loaded;
  }
};

Job::Job(Journal& journal, Options options, Captioner captioner)
    : journal_(journal), options_(std::move(options)), captioner_(std::move(captioner)) {}

bool Job::all_there(const Picture& picture) const {
  const JobOutputs& outputs = options_.outputs;
  const bool files = std::all_of(
      outputs.each.begin(), outputs.each.end(),
      [&](OutputFormat format) { return is_there(output_of(outputs, format, picture)); });
  if (!files || !outputs.embed) return files;
  const auto file = MappedFile::open(picture.path);
  if (!file.ok()) return false;
  const auto description = read_description(file->bytes(), picture.path);
  return description.ok() && description->has_value();
}

bool Job::embeds_only() const {
  return options_.outputs.embed && options_.outputs.each.empty() && options_.outputs.all.empty();
}

Result<WrittenCaption> Job::kept_caption(LinePlace place) const {
  FASTVLM_ASSIGN(const JournalRecord record, journal_.record(place));
  return parse_caption(record.caption, options_.outputs.parts);
}

// What an earlier run has done already is counted, and its missing outputs are written.
Result<Job::Need> Job::look_at(const Picture& picture) {
  const JournalEntry* entry = journal_.find(picture.name);
  if (entry == nullptr || !entry->captioned) {
    const JobOutputs& outputs = options_.outputs;
    const bool skip = outputs.existing == Existing::kSkip && outputs.all.empty() &&
                      (!outputs.each.empty() || outputs.embed);
    if (!skip || !all_there(picture)) return Need::kCaption;
    settle(picture.name, Outcome::kSkipped);
    return Need::kNothing;
  }
  const Result<FileStamp> now = stamp_of(picture.path);
  const bool same = now.ok() && (is_as(picture.path, *now, entry->stamp) ||
                                 (entry->embedded && is_as(picture.path, *now, *entry->embedded)));
  if (!same) return Need::kCaption;
  FASTVLM_RETURN_IF_ERROR(rewrite({picture}));
  return Need::kNothing;
}

Status Job::run(const Source& source) {
  struct Pending {
    Picture picture;
    std::future<std::unique_ptr<Loaded>> loaded;
  };
  const auto begin_next = [&](bool wait) -> Result<std::optional<Pending>> {
    while (!options_.stop()) {
      std::optional<Picture> picture = source(wait);
      if (!picture) break;
      FASTVLM_ASSIGN(const Need need, look_at(*picture));
      tell();
      if (need == Need::kNothing) continue;
      // One thread ahead; where the system has none to give, read when it is needed.
      auto loaded = std::async(std::launch::async | std::launch::deferred, Loaded::read,
                               picture->path, options_.decode);
      return std::optional<Pending>(Pending{std::move(*picture), std::move(loaded)});
    }
    return std::optional<Pending>();
  };
  std::optional<Pending> upcoming;
  while (true) {
    if (!upcoming) {
      FASTVLM_ASSIGN(upcoming, begin_next(true));
    }
    if (options_.stop()) return interrupted();
    if (!upcoming) return {};
    Pending current = std::move(*upcoming);
    const std::unique_ptr<const Loaded> loaded = current.loaded.get();
    FASTVLM_ASSIGN(upcoming, begin_next(false));
    FASTVLM_RETURN_IF_ERROR(finish(current.picture, *loaded));
    tell();
  }
}

Status Job::run(const std::vector<Picture>& pictures, Shard shard) {
  JobPlan plan{{}, shard.index, shard.count};
  for (const Picture& picture : pictures) plan.images.push_back(picture.name);
  FASTVLM_RETURN_IF_ERROR(journal_.set_plan(plan));
  remove_leftovers(options_.outputs, pictures);
  counts_.total = pictures.size();
  size_t next = 0;
  FASTVLM_RETURN_IF_ERROR(run([&](bool) -> std::optional<Picture> {
    if (next == pictures.size()) return std::nullopt;
    return pictures[next++];
  }));
  const bool nothing = counts_.failed > 0 && counts_.made + counts_.kept == 0;
  return nothing ? Status{} : write_all(plan.images);
}

Status Job::rewrite(const std::vector<Picture>& pictures) {
  for (const Picture& picture : pictures) {
    const JournalEntry* entry = journal_.find(picture.name);
    if (entry == nullptr || !entry->captioned) continue;
    if (const Status bad = write_each(picture, *entry); !bad.ok()) {
      FASTVLM_RETURN_IF_ERROR(record_failure(picture, bad, false));
      continue;
    }
    settle(picture.name, Outcome::kKept);
  }
  return {};
}

Status Job::finish(const Picture& picture, const Loaded& loaded) {
  if (!loaded.image.ok()) return record_failure(picture, loaded.image.status(), true);
  if (embeds_only()) {
    const Status refused = check_embeddable(picture.path);
    if (!refused.ok()) return record_failure(picture, refused, true);
  }
  const Result<std::string> line = captioner_(*loaded.image, picture);
  if (!line.ok()) return record_failure(picture, line.status(), true);
  FASTVLM_RETURN_IF_ERROR(journal_.add({picture.name, picture.path, *line}, loaded.stamp));
  if (const Status bad = write_each(picture, *journal_.find(picture.name)); !bad.ok()) {
    return record_failure(picture, bad, false);
  }
  failed_writes_in_a_row_ = 0;
  settle(picture.name, Outcome::kMade);
  return {};
}

size_t& Job::count_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kMade:
      return counts_.made;
    case Outcome::kKept:
      return counts_.kept;
    case Outcome::kSkipped:
      return counts_.skipped;
    case Outcome::kFailed:
      break;
  }
  return counts_.failed;
}

void Job::settle(const std::string& image, Outcome outcome) {
  const auto [found, first] = outcomes_.try_emplace(image, outcome);
  if (!first) {
    // What this run has made it then finds made.
    if (found->second == Outcome::kMade && outcome == Outcome::kKept) return;
    if (found->second == Outcome::kFailed) {
      std::erase_if(failures_, [&](const JobFailure& each) { return each.image == image; });
    }
    --count_of(found->second);
    found->second = outcome;
  }
  ++count_of(outcome);
}

// A write that the system refuses is not the picture's fault: its caption stays in the journal for
// the next run.
Status Job::record_failure(const Picture& picture, const Status& why, bool in_journal) {
  settle(picture.name, Outcome::kFailed);
  failures_.push_back({picture.name, why});
  if (in_journal) return journal_.add_failure(picture.name, why);
  if (why.code != Code::kIo) return {};
  return ++failed_writes_in_a_row_ < kMostFailedWritesInARow ? Status{} : why;
}

Status Job::write_each(const Picture& picture, const JournalEntry& entry) const {
  const JobOutputs& outputs = options_.outputs;
  if (outputs.each.empty() && !outputs.embed) return {};
  // What a run wrote that was killed may still be the text of an earlier caption.
  const bool settled = outputs.existing == Existing::kSkip && !entry.before;
  if (settled && all_there(picture)) return {};
  FASTVLM_ASSIGN(const WrittenCaption caption, kept_caption(entry.place));
  std::optional<WrittenCaption> previous;
  if (entry.before) {
    FASTVLM_ASSIGN(previous, kept_caption(*entry.before));
  }
  for (const OutputFormat format : outputs.each) {
    FASTVLM_RETURN_IF_ERROR(write_one(format, picture, caption, previous));
  }
  return outputs.embed ? embed(picture, caption, previous) : Status{};
}

Status Job::embed(const Picture& picture, const WrittenCaption& caption,
                  const std::optional<WrittenCaption>& previous) const {
  FASTVLM_RETURN_IF_ERROR(check_embeddable(picture.path));
  FASTVLM_ASSIGN(const MappedFile file, MappedFile::open(picture.path));
  FASTVLM_ASSIGN(const auto there, read_description(file.bytes(), picture.path));
  std::string text = as_description(caption.text);
  if (there == text) return {};
  if (there && !there->empty()) {
    const Existing existing = options_.outputs.existing;
    const bool ours = previous && *there == as_description(previous->text);
    if (existing == Existing::kSkip && !ours) return {};
    if (existing == Existing::kAppend) text = joined(*there, text, existing);
    if (existing == Existing::kPrepend) text = joined(*there, text + "\n", existing);
    if (text == *there) return {};
  }
  FASTVLM_ASSIGN(const std::string changed, with_description(file.bytes(), text, picture.path));
  // The journal knows the changed file before it is there, so that it is never taken for another
  // picture; it keeps the time of the old one.
  FASTVLM_ASSIGN(FileStamp stamp, stamp_of(picture.path));
  stamp.bytes = static_cast<int64_t>(changed.size());
  stamp.sha256 = sha256_hex(changed);
  FASTVLM_RETURN_IF_ERROR(journal_.add_embedded(picture.name, stamp));
  FASTVLM_ASSIGN(AtomicFile target, AtomicFile::create(picture.path));
  FASTVLM_RETURN_IF_ERROR(target.write(std::as_bytes(std::span(changed))));
  FASTVLM_RETURN_IF_ERROR(target.take_attributes_of(picture.path));
  return target.commit();
}

Status Job::write_one(OutputFormat format, const Picture& picture, const WrittenCaption& caption,
                      const std::optional<WrittenCaption>& previous) const {
  const JobOutputs& outputs = options_.outputs;
  const fs::path file = output_of(outputs, format, picture);
  std::string text = render(format, caption);
  if (is_there(file)) {
    FASTVLM_ASSIGN(const std::string there, read_text_file(file, kMostOutputBytes));
    const bool ours = previous && there == render(format, *previous);
    if (outputs.existing == Existing::kSkip && !ours) return {};
    if (outputs.existing == Existing::kAppend || outputs.existing == Existing::kPrepend) {
      text = joined(there, text, outputs.existing);
    }
    if (format == OutputFormat::kXmp && !is_our_xmp(there)) {
      return error(Code::kInvalid, cat(file.string(), ": holds metadata of another program"),
                   "it is never replaced; move it away, or leave xmp out");
    }
    if (text == there) return {};
  } else if (!outputs.folder.empty()) {
    std::error_code failed;
    fs::create_directories(file.parent_path(), failed);
    if (failed) {
      return error(Code::kIo,
                   cat(file.parent_path().string(), ": cannot be made: ", failed.message()),
                   "check the folder above it and its permissions");
    }
  }
  return write_file_atomically(file, text);
}

Status Job::write_all(const std::vector<std::string>& images) const {
  for (const auto& [format, path] : options_.outputs.all) {
    FASTVLM_ASSIGN(OutputFile file, OutputFile::create(path, format));
    for (const std::string& image : images) {
      const JournalEntry* entry = journal_.find(image);
      if (entry == nullptr || !entry->captioned) continue;
      FASTVLM_ASSIGN(const WrittenCaption caption, kept_caption(entry->place));
      FASTVLM_RETURN_IF_ERROR(file.add(caption));
    }
    FASTVLM_RETURN_IF_ERROR(file.finish());
  }
  return {};
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "cli/caption_job.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/strings.h"
#include "cli/failures.h"
#include "cli/folder_watch.h"
#include "cli/outputs.h"
#include "cli/progress.h"
#include "evaluate/gallery.h"
#include "formats/atomic_file.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

std::string pictures_text(size_t count) {
  return cat(with_thousands(static_cast<long long>(count)), count == 1 ? " picture" : " pictures");
}

// "38 of 40 pictures have a caption: 30 made now, 8 made before".
std::string summary(const JobCounts& counts, double seconds) {
  const auto number = [](size_t value) { return with_thousands(static_cast<long long>(value)); };
  const size_t good = counts.made + counts.kept + counts.skipped;
  std::string parts;
  const auto add = [&](size_t count, const std::string& text) {
    if (count > 0) parts += cat(parts.empty() ? ": " : ", ", number(count), " ", text);
  };
  add(counts.made, cat("made in ", duration(seconds)));
  add(counts.kept, "made before");
  add(counts.skipped, "left alone as their files are there");
  add(counts.failed, "failed");
  const size_t total = std::max(counts.total, counts.done());
  return cat(number(good), " of ", pictures_text(total), total == 1 ? " has" : " have",
             " a caption", parts);
}

void tell_failures(const std::vector<JobFailure>& failures, const fs::path& journal) {
  if (const size_t more = list_failures(failures); more > 0) {
    note(cat("and ", with_thousands(static_cast<long long>(more)),
             " more; the lines with \"error\" in ", journal.string(), " have them all"));
  }
  if (!failures.empty()) note("the same command tries these again");
}

Json summary_json(const Job& job, const Status& end) {
  const JobCounts& counts = job.counts();
  Json failures = Json::array();
  for (const JobFailure& failure : job.failures()) {
    failures.push_back({{"image", failure.image}, {"error", failure.why.message}});
  }
  return {{"pictures", std::max(counts.total, counts.done())},
          {"made", counts.made},
          {"made_before", counts.kept},
          {"skipped", counts.skipped},
          {"failed", std::move(failures)},
          {"complete", end.ok()}};
}

Exit exit_of(const JobCounts& counts) {
  if (counts.failed == 0) return kDone;
  return counts.made + counts.kept + counts.skipped > 0 ? kSomeFailed : kBadInput;
}

// What is to be said at the end, and the exit code.
Exit conclude(const Job& job, const Status& end, double seconds, const fs::path& journal,
              bool quiet) {
  if (!quiet) note(summary(job.counts(), seconds));
  tell_failures(job.failures(), journal);
  if (end.ok()) return exit_of(job.counts());
  return report(end);
}

// The page of those pictures that have a caption.
Status make_gallery(const JobFiles& files, const Journal& journal,
                    const std::vector<Picture>& pictures) {
  const fs::path& page = files.gallery;
  if (page.empty()) return {};
  remove_abandoned_files(page.has_parent_path() ? page.parent_path() : ".",
                         {page.filename().string()});
  std::vector<const Picture*> captioned;
  for (const Picture& picture : pictures) {
    const JournalEntry* entry = journal.find(picture.name);
    if (entry != nullptr && entry->captioned) captioned.push_back(&picture);
  }
  const auto lost = std::count_if(captioned.begin(), captioned.end(), [](const Picture* picture) {
    std::error_code ignored;
    return !fs::exists(picture->path, ignored);
  });
  if (lost > 0) {
    note(cat("--gallery: ", pictures_text(static_cast<size_t>(lost)), " of ", captioned.size(),
             " not found, so their captions stand there alone; --root FOLDER says where they lie"));
  }
  return write_gallery(page, captioned.size(), [&](size_t i) -> Result<GalleryPicture> {
    FASTVLM_ASSIGN(const JournalRecord record,
                   journal.record(journal.find(captioned[i]->name)->place));
    FASTVLM_ASSIGN(WrittenCaption caption, parse_caption(record.caption, files.outputs.parts));
    return GalleryPicture{captioned[i]->path, std::move(caption.json)};
  });
}

// Where a picture of a journal lies: where it did, seen from here or from the journal.
fs::path find_again(const JournalRecord& record, const fs::path& journal, const fs::path& root) {
  if (!root.empty()) return root / record.image;
  const fs::path folder = journal.parent_path();
  for (const fs::path& place :
       {fs::path(record.path), folder / record.path, folder / record.image}) {
    std::error_code ignored;
    if (fs::exists(place, ignored)) return place;
  }
  return record.path;
}

// What --verify-objects shows was found out when the caption was made, or never.
Status check_grounding(const JournalRecord& record, const fs::path& journal) {
  FASTVLM_ASSIGN(const WrittenCaption caption, parse_caption(record.caption, {.grounding = true}));
  if (caption.unseen) return {};
  return error(Code::kUsage,
               cat("--verify-objects: ", journal.string(), ": no tags were known of ", record.image,
                   ", so nothing can be compared"),
               "leave the option out, or make the captions again with a detector or --tags");
}

fs::path folder_of(const fs::path& file) {
  return file.has_parent_path() ? file.parent_path() : fs::path(".");
}

}  // namespace

Result<JobFiles> prepare_files(const OutputFlags& flags, const SelectionFlags& selection,
                               const std::vector<std::string>& places,
                               const std::vector<Picture>& pictures, std::vector<fs::path> inputs) {
  FASTVLM_ASSIGN(const Shard shard, selection.shard());
  FASTVLM_ASSIGN(JobFiles files, flags.files(places, shard));
  FASTVLM_RETURN_IF_ERROR(check_outputs_of_each(files.outputs, pictures));
  std::vector<Output> outputs;
  if (flags.from_journal().empty()) outputs.push_back({"--journal", files.journal});
  for (const auto& entry : files.outputs.all) outputs.push_back({"--out", entry.second});
  outputs.push_back({"--gallery", files.gallery});
  std::set<fs::path> names;  // of the run's own files, that of the journal first
  for (const Output& output : outputs) names.insert(output.path.filename());
  for (const Picture& picture : pictures) {
    inputs.emplace_back(picture.path);
    for (const OutputFormat format : files.outputs.each) {
      const fs::path file = output_of(files.outputs, format, picture);
      std::error_code ignored;
      const bool there = fs::exists(file, ignored);
      // A file that is not there yet can only be one of the run's own by its name.
      const bool alike =
          names.contains(file.filename()) && fs::is_directory(folder_of(file), ignored);
      if (there || alike) outputs.push_back({"--format", file});
    }
  }
  FASTVLM_RETURN_IF_ERROR(check_outputs(outputs, inputs));
  return files;
}

Exit run_caption_job(const CaptionJob& work, const Job::Captioner& captioner) {
  auto journal = Journal::open(work.files.journal, work.settings);
  if (!journal.ok()) return report(journal.status());
  Progress progress(work.quiet);
  Job::Options options{work.files.outputs, work.decode, stop_asked,
                       [&](const JobCounts& counts) { progress.show(counts); }};
  Job job(*journal, std::move(options), captioner);
  stop_politely();
  const Stopwatch watch;
  Status end = job.run(work.pictures, work.shard);
  if (end.ok()) end = make_gallery(work.files, *journal, work.pictures);
  progress.clear();
  if (work.json) {
    const std::string text =
        summary_json(job, end).dump(2, ' ', false, Json::error_handler_t::replace);
    if (const Status bad = print(text + "\n"); !bad.ok()) return report(bad);
  }
  return conclude(job, end, watch.seconds(), work.files.journal, work.quiet);
}

Exit run_watch_job(const CaptionJob& work, const fs::path& folder, const SelectionFlags& selection,
                   const Job::Captioner& captioner) {
  auto journal = Journal::open(work.files.journal, work.settings);
  if (!journal.ok()) return report(journal.status());
  const auto name_of = [&](const fs::path& path) {
    return output_name(path.lexically_relative(folder));
  };
  const auto wanted = [&](const fs::path& path) {
    std::error_code ignored;
    return fs::is_directory(path, ignored)
               ? selection.enters(name_of(path))
               : has_picture_name(path) && selection.wanted(name_of(path));
  };
  auto watch = FolderWatch::open(folder, selection.recursive(), wanted);
  if (!watch.ok()) return report(watch.status());
  Progress progress(work.quiet);
  Job::Options options{work.files.outputs, work.decode, stop_asked,
                       [&](const JobCounts& counts) { progress.show(counts); }};
  Job job(*journal, std::move(options), captioner);
  size_t written = 0;
  Status broken;
  // The files for all pictures are renewed whenever there is nothing else to do.
  const auto next = [&](bool wait) -> std::optional<Picture> {
    auto path = watch->next(false, stop_asked);
    if (path.ok() && !*path && wait) {
      if (job.counts().made > written) broken = job.write_all(journal->images());
      written = job.counts().made;
      if (broken.ok()) path = watch->next(true, stop_asked);
    }
    if (!path.ok()) broken = path.status();
    if (!broken.ok() || !*path) return std::nullopt;
    return Picture{**path, name_of(**path)};
  };
  stop_politely();
  if (!work.quiet) note(cat("watching ", folder.string(), "; Ctrl-C ends it"));
  const Stopwatch time;
  Status end = job.run(next);
  const bool unwritten = job.counts().made > written;
  if (end.code == Code::kInterrupted || (!broken.ok() && unwritten)) {
    end = job.write_all(journal->images());
  }
  if (!broken.ok()) end = broken;
  progress.clear();
  return conclude(job, end, time.seconds(), work.files.journal, work.quiet);
}

Exit rewrite_from_journal(const OutputFlags& flags, const SelectionFlags& selection,
                          WantedParts parts) {
  const fs::path& path = flags.from_journal();
  auto journal = Journal::read(path);
  // Pictures that are changed are noted in it, so that they are not taken for others.
  if (journal.ok() && flags.embed()) journal = Journal::open(path, journal->settings());
  if (!journal.ok()) return report(journal.status());
  const std::vector<std::string> images =
      journal->plan().images.empty() ? journal->images() : journal->plan().images;
  std::vector<Picture> pictures;
  for (const std::string& image : images) {
    const JournalEntry* entry = journal->find(image);
    if (entry == nullptr || !entry->captioned) continue;
    const auto record = journal->record(entry->place);
    if (!record.ok()) return report(record.status());
    if (parts.grounding) {
      if (const Status bad = check_grounding(*record, path); !bad.ok()) return report(bad);
    }
    pictures.push_back({find_again(*record, path, selection.root()).string(), image});
  }
  auto files = prepare_files(flags, selection, {}, pictures, {path});
  if (!files.ok()) return report(files.status());
  if (files->outputs.each.empty() && files->outputs.all.empty() && files->gallery.empty() &&
      !flags.embed()) {
    return report(error(Code::kUsage, cat("--from-journal ", path.string(), ": where to?"),
                        "give --out FILE or FOLDER, --sidecar, --embed or --gallery FILE.html"));
  }
  files->outputs.parts = parts;
  Job job(*journal, {.outputs = files->outputs}, {});
  Status end = job.rewrite(pictures);
  if (end.ok()) end = job.write_all(images);
  if (end.ok()) end = make_gallery(*files, *journal, pictures);
  if (!end.ok()) return report(end);
  tell_failures(job.failures(), path);
  if (!flags.quiet()) {
    note(cat(pictures_text(pictures.size()), " written from ", path.string()));
    if (const size_t missing = images.size() - pictures.size(); missing > 0) {
      note(
          cat(pictures_text(missing), " of that run without a caption; run it again to make them"));
    }
  }
  return exit_of(job.counts());
}

}  // namespace fastvlm::cli

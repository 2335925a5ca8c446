// SPDX-License-Identifier: Apache-2.0
// Captions for many pictures. Goals: each caption is in the journal and on disk before the next one
// is made; whatever ends a run, the next run goes on and the outputs are those of a run that was
// never ended; a picture that fails is named and stops nothing; the next picture is read while this
// one is captioned. Non-goals: choosing pictures, showing progress.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "caption/caption.h"
#include "caption/engine.h"
#include "caption/journal.h"
#include "caption/output.h"
#include "caption/picture_list.h"
#include "image/decode.h"

namespace fastvlm {

// What becomes of a picture's output that is there and that the journal does not know.
enum class Existing {
  kSkip,       // stays; a picture for which nothing would be written is not captioned
  kOverwrite,  // is replaced
  kAppend,     // texts and descriptions: the caption comes behind what is there
  kPrepend,    // texts and descriptions: before it
};

struct JobOutputs {
  std::vector<OutputFormat> each;  // a file for each picture
  std::filesystem::path folder;    // of these files; empty: beside the pictures
  bool full_names = false;         // a.jpg.txt, else a.txt; XMP is always a.jpg.xmp
  bool embed = false;              // into the pictures themselves, as image/description.h says
  Existing existing = Existing::kSkip;
  std::vector<std::pair<OutputFormat, std::filesystem::path>> all;  // a file for all pictures
  WantedParts parts = {};
};

std::filesystem::path output_of(const JobOutputs& outputs, OutputFormat format,
                                const Picture& picture);

// kUsage: two pictures would write one file; kIo: a folder that is there and cannot be written.
Status check_outputs_of_each(const JobOutputs& outputs, const std::vector<Picture>& pictures);

// What the captions depend on. `tags` says where tags come from; `upright`: pictures are turned by
// their EXIF tag.
Result<JobSettings> job_settings(const CaptionRequest& request, const Engine& engine,
                                 const std::string& tags, bool upright);

struct JobCounts {
  size_t total = 0;    // pictures looked at so far, or all when they are known
  size_t made = 0;     // captioned by this run
  size_t kept = 0;     // by an earlier one
  size_t skipped = 0;  // had all outputs already
  size_t failed = 0;
  size_t done() const { return made + kept + skipped + failed; }
};

struct JobFailure {
  std::string image;
  Status why;
};

class Job {
 public:
  // The JSON line, with timings, of an upright picture.
  using Captioner = std::function<Result<std::string>(const Image&, const Picture&)>;
  // The next picture; none: there is none now, or no more. It may wait for one only when `wait`.
  using Source = std::function<std::optional<Picture>(bool wait)>;

  struct Options {
    JobOutputs outputs = {};
    DecodeOptions decode = {};
    std::function<bool()> stop = [] { return false; };    // asked between pictures
    std::function<void(const JobCounts&)> progress = {};  // after each picture
  };

  // The journal must outlive the job.
  Job(Journal& journal, Options options, Captioner captioner);

  // Captions these pictures and writes all outputs. Errors end the run, and the next one goes on:
  // kIo (the journal or the outputs cannot be written), kInterrupted (stop()).
  Status run(const std::vector<Picture>& pictures, Shard shard = {});
  // Captions pictures as they come; the files for all pictures are left to write_all().
  Status run(const Source& source);
  // Writes the outputs again of what the journal holds: without a captioner.
  Status rewrite(const std::vector<Picture>& pictures);
  // The files for all of `images`, in this order; those without a caption are left out.
  Status write_all(const std::vector<std::string>& images) const;

  // Of a picture that came more than once (a folder that is watched) the last outcome counts.
  const JobCounts& counts() const { return counts_; }
  const std::vector<JobFailure>& failures() const { return failures_; }

 private:
  struct Loaded;
  enum class Need { kCaption, kNothing };
  enum class Outcome { kMade, kKept, kSkipped, kFailed };

  Result<Need> look_at(const Picture& picture);
  Status finish(const Picture& picture, const Loaded& loaded);
  // The files for one picture that its entry's caption makes necessary.
  Status write_each(const Picture& picture, const JournalEntry& entry) const;
  Status write_one(OutputFormat format, const Picture& picture, const WrittenCaption& caption,
                   const std::optional<WrittenCaption>& previous) const;
  // Writes the caption into the picture itself.
  Status embed(const Picture& picture, const WrittenCaption& caption,
               const std::optional<WrittenCaption>& previous) const;
  bool embeds_only() const;
  bool all_there(const Picture& picture) const;
  Result<WrittenCaption> kept_caption(LinePlace place) const;
  Status record_failure(const Picture& picture, const Status& why, bool in_journal);
  void settle(const std::string& image, Outcome outcome);
  size_t& count_of(Outcome outcome);
  void tell() const {
    if (options_.progress) options_.progress(counts_);
  }

  Journal& journal_;
  Options options_;
  Captioner captioner_;
  JobCounts counts_;
  std::unordered_map<std::string, Outcome> outcomes_;
  std::vector<JobFailure> failures_;
  size_t failed_writes_in_a_row_ = 0;
};

}  // namespace fastvlm

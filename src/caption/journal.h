// SPDX-License-Identifier: Apache-2.0
// What a folder job has done so far, as JSON lines in a file beside its outputs (docs/FORMATS.md).
// Goals: a run that was ended in any way goes on where it was; captions made with other settings
// are never mixed in; outputs can be written again from the journal alone; memory does not grow
// with the captions' texts. Non-goals: what the outputs look like.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/result.h"
#include "formats/kept_lines.h"

namespace fastvlm {

// What every journal begins with, and no file of captions.
inline constexpr std::string_view kJournalFirstLine = "{\"journal\":";

// What the captions depend on besides the pictures, by name: {"model_sha256", "8fd8…"}. Two runs
// may share a journal when these are equal.
using JobSettings = std::vector<std::pair<std::string, std::string>>;

// Tells whether a picture is still the one that was captioned.
struct FileStamp {
  int64_t bytes = 0;
  int64_t modified = 0;  // nanoseconds since 1970
  std::string sha256;    // of the file; empty: not known yet
};
Result<FileStamp> stamp_of(const std::filesystem::path& file);  // without the digest

// The pictures of a run, in the order of its outputs, and which part of a whole they are.
struct JobPlan {
  std::vector<std::string> images;
  size_t shard = 0;
  size_t shards = 1;
};

// What the journal's last line on a picture says.
struct JournalEntry {
  bool captioned = false;
  LinePlace place;
  std::optional<LinePlace> before;  // the caption that this line has replaced
  FileStamp stamp;
  std::optional<FileStamp> embedded;  // of the same picture with its caption in it
  std::string error;                  // why there is no caption
  std::string hint;
};

struct JournalRecord {
  std::string image;    // its name in outputs
  std::string path;     // where it lies, as it was given
  std::string caption;  // a line of caption_json, with timings
};

class Journal {
 public:
  // For a run: makes the file, or goes on with it; a line that was cut off is taken away. Errors:
  // kInvalid (no journal, another format, other settings: which ones is said), kIo.
  static Result<Journal> open(const std::filesystem::path& path, const JobSettings& settings);
  // To read only; needs no lock.
  static Result<Journal> read(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const JobSettings& settings() const { return settings_; }
  // The last one that was set, and what was captioned since besides. No images: none was set yet.
  const JobPlan& plan() const { return plan_; }
  const JournalEntry* find(const std::string& image) const;
  std::vector<std::string> images() const;  // all that are captioned, sorted by name
  Result<JournalRecord> record(LinePlace place) const;

  Status set_plan(JobPlan plan);  // adds no line when it is the last one's
  Status add(const JournalRecord& record, const FileStamp& stamp);
  // Says what the file becomes by writing its caption into it; to be called before that.
  Status add_embedded(const std::string& image, const FileStamp& stamp);
  Status add_failure(const std::string& image, const Status& why);

 private:
  Status load();
  Status take(std::string_view line, LinePlace place);
  Status append(const std::string& line, const std::string& image, JournalEntry entry);
  void remember(const std::string& image, JournalEntry entry);
  void take_plan(JobPlan plan);
  Status check_settings(const JobSettings& wanted) const;

  std::filesystem::path path_;
  KeptLines lines_;
  std::string torn_;
  bool started_ = false;  // has its first line
  JobSettings settings_;
  JobPlan plan_;
  std::unordered_set<std::string> planned_;
  std::unordered_map<std::string, JournalEntry> entries_;
};

}  // namespace fastvlm

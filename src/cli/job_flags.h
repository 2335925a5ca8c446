// SPDX-License-Identifier: Apache-2.0
// The arguments of folder jobs: which pictures, and what is written where.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "caption/job.h"
#include "caption/picture_list.h"

namespace fastvlm::cli {

// --recursive, --list, --null, --include, --exclude, --root, --limit, --shuffle, --shard.
class SelectionFlags {
 public:
  void add_to(CLI::App& command);
  void add_filters_to(CLI::App& command);  // --recursive, --include and --exclude alone
  bool wanted(const std::string& name) const { return is_wanted(include_, exclude_, name); }
  bool enters(const std::string& folder) const { return is_wanted({}, exclude_, folder); }
  // Do these flags or these places ask for more than a few files that are named?
  bool needed(const std::vector<std::string>& places) const;
  // Reads the list and, for "-", stdin.
  Result<std::vector<Picture>> find(const std::vector<std::string>& places, uint64_t seed) const;
  Result<Shard> shard() const;
  bool recursive() const { return recursive_; }
  const std::string& list() const { return list_; }
  const std::string& root() const { return root_; }

 private:
  std::string list_;
  bool null_ = false;
  bool recursive_ = false;
  bool shuffle_ = false;
  std::vector<std::string> include_;
  std::vector<std::string> exclude_;
  std::string root_;
  std::string shard_;
  size_t limit_ = 0;
};

// Where the files of a job go.
struct JobFiles {
  JobOutputs outputs;
  std::filesystem::path journal;
  std::filesystem::path gallery;  // empty: none
};

// --out, --sidecar, --embed, --format, --existing, --full-names, --journal, --from-journal,
// --quiet;
// --gallery.
class OutputFlags {
 public:
  void add_to(CLI::App& command);
  void add_gallery_to(CLI::App& command);
  // --sidecar when nothing else is said.
  void beside_by_default() { beside_by_default_ = true; }
  bool given() const {
    return !out_.empty() || !gallery_.empty() || sidecar_ || embed_ || !journal_.empty() ||
           beside_by_default_;
  }
  bool quiet() const { return quiet_; }
  bool embed() const { return embed_; }
  const std::string& from_journal() const { return from_journal_; }
  const std::string& format() const { return format_; }
  // kUsage: outputs that contradict each other, or a file for all pictures that is there and is
  // none of an earlier run. Makes the folder of --out.
  Result<JobFiles> files(const std::vector<std::string>& places, Shard shard) const;

 private:
  Result<JobOutputs> outputs(Shard shard) const;
  bool beside() const { return sidecar_ || (beside_by_default_ && out_.empty() && !embed_); }
  bool into_folder() const;
  void add_folder(const std::vector<OutputFormat>& formats, Shard shard, JobOutputs& outputs) const;
  Status add_file(const std::vector<OutputFormat>& formats, Shard shard, JobOutputs& outputs) const;
  std::filesystem::path journal_of(const JobOutputs& outputs,
                                   const std::vector<std::string>& places, Shard shard) const;

  std::string out_;
  bool sidecar_ = false;
  bool embed_ = false;
  bool beside_by_default_ = false;
  bool full_names_ = false;
  bool quiet_ = false;
  std::string format_;
  std::string existing_ = "skip";
  std::string journal_;
  std::string from_journal_;
  std::string gallery_;
};

// "3/8": the fourth of eight. "auto": the rank that mpirun or srun gave this process; "auto/8" in
// an indexed job of Kubernetes, which tells its index only. `variable` looks a name up in the
// environment.
Result<Shard> parse_shard(const std::string& text,
                          const std::function<const char*(const char*)>& variable);

// captions.jsonl -> captions.3-of-8.jsonl; as it is when there is one shard.
std::filesystem::path shard_file(const std::filesystem::path& file, Shard shard);

}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
// fastvlm caption with --out, --sidecar, --journal or --from-journal: runs a folder job and says
// how it went.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "caption/job.h"
#include "cli/console.h"
#include "cli/job_flags.h"

namespace fastvlm::cli {

struct CaptionJob {
  JobFiles files;
  JobSettings settings;
  DecodeOptions decode;
  std::vector<Picture> pictures;
  Shard shard;
  bool quiet = false;
  bool json = false;  // the summary as an object on stdout
};

// Everything about the outputs that can be refused before a model is loaded; `inputs` are the files
// that are read besides the pictures.
Result<JobFiles> prepare_files(const OutputFlags& flags, const SelectionFlags& selection,
                               const std::vector<std::string>& places,
                               const std::vector<Picture>& pictures,
                               std::vector<std::filesystem::path> inputs);

Exit run_caption_job(const CaptionJob& job, const Job::Captioner& captioner);

// fastvlm watch: what is in the folder, then what comes, until it is interrupted, which is its good
// end.
Exit run_watch_job(const CaptionJob& job, const std::filesystem::path& folder,
                   const SelectionFlags& selection, const Job::Captioner& captioner);

// --from-journal.
Exit rewrite_from_journal(const OutputFlags& flags, const SelectionFlags& selection,
                          WantedParts parts);

}  // namespace fastvlm::cli

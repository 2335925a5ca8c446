// SPDX-License-Identifier: Apache-2.0
// How far a long run is, on stderr: a line that is written over on a terminal, else a
// line now and then, ever more rarely.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/stopwatch.h"
#include "caption/job.h"

namespace fastvlm::cli {

class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress() { clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const JobCounts& counts);
  // The same for any run: the line is asked for when it is to be shown, with the seconds since the
  // beginning.
  void show(const std::function<std::string(double seconds)>& make_line);
  // Takes the line away from a terminal, for what is to be said.
  void clear();

 private:
  bool quiet_;
  bool terminal_;
  bool shown_ = false;
  double next_;  // seconds until something may be shown
  Stopwatch watch_;
};

// "1,234 of 40,000 (3 %), 92 a minute, 7 h 1 min left, 3 failed, 579 MB"; `seconds` since the
// beginning of the run.
std::string progress_line(const JobCounts& counts, double seconds, double bytes);
std::string duration(double seconds);  // "7 h 1 min", "3 min 20 s", "12 s"

}  // namespace fastvlm::cli

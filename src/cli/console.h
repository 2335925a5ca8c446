// SPDX-License-Identifier: Apache-2.0
// How the program talks: results on stdout, everything else on stderr, one exit code at the end.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace fastvlm::cli {

// Scripts lean on these (docs/CLI.md).
enum Exit : int {
  kDone = 0,
  kWrongUse = 1,
  kBadInput = 2,    // input, model or output bad: the only item, or none worked
  kSomeFailed = 3,  // some items of several failed
  kCheckFailed = 4,
  kInterrupted = 130,
};

// The same status with the name of the item that it is about in front.
Status about(const std::string& item, Status status);

// The exit code that goes with a status.
Exit exit_code(const Status& status);
// "fastvlm: error: …" and, when there is one, "hint: …" on stderr. Returns its exit code.
Exit report(const Status& status);
void warn(std::string_view line);  // "fastvlm: warning: …"
void note(std::string_view line);  // "fastvlm: …"

// Writes to stdout and hands it to the system at once, so that a full disk or a closed pipe is seen
// here.
Status print(std::string_view text);
Status stdout_failed();  // the error of a write that failed, as errno has it

// Makes Ctrl-C (exit code 130), SIGTERM and SIGHUP end the program at once with unfinished output
// files removed; a closed pipe and a limit on file sizes become failed writes.
void handle_signals();

// From here on the first Ctrl-C, SIGTERM or SIGHUP only makes stop_asked() true, so that the work
// in hand is finished; the second one ends the program at once.
void stop_politely();
bool stop_asked();

}  // namespace fastvlm::cli

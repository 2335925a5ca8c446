// SPDX-License-Identifier: Apache-2.0
#include "cli/console.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include "formats/atomic_file.h"

namespace fastvlm::cli {
namespace {

constexpr size_t kLongestLine = 4000;  // of a message: a damaged file can name a key of megabytes

void say(std::string_view prefix, std::string_view text) {
  const bool whole = text.size() <= kLongestLine;
  const std::string line =
      cat(prefix, printable(text.substr(0, kLongestLine)), whole ? "" : " ...", "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
}

// Ends the program as a shell expects it of this signal, with nothing half-written left behind.
void end(int signal) {
  remove_unfinished_files();
  constexpr std::string_view kLine = "\nfastvlm: interrupted\n";
  // Nothing more can be done where even this cannot be said.
  [[maybe_unused]] const auto said = ::write(STDERR_FILENO, kLine.data(), kLine.size());
  ::_exit(128 + signal);
}

bool reader_left = false;  // of stdout

volatile std::sig_atomic_t asked_to_stop = 0;

void ask_to_stop(int signal) {
  if (asked_to_stop != 0) end(signal);
  asked_to_stop = 1;
  constexpr std::string_view kLine =
      "\nfastvlm: finishing what is in hand; once more to stop at once\n";
  [[maybe_unused]] const auto said = ::write(STDERR_FILENO, kLine.data(), kLine.size());
}

}  // namespace

Status about(const std::string& item, Status status) {
  if (!status.ok()) status.message = cat(item, ": ", status.message);
  return status;
}

Exit exit_code(const Status& status) {
  switch (status.code) {
    case Code::kOk:
      return kDone;
    case Code::kUsage:
      return kWrongUse;
    case Code::kInterrupted:
      return kInterrupted;
    default:
      return kBadInput;
  }
}

Exit report(const Status& status) {
  if (reader_left) return exit_code(status);  // as after `| head -1`: nobody misses the rest
  say("fastvlm: error: ", status.message);
  if (!status.hint.empty()) say("hint: ", status.hint);
  return exit_code(status);
}

void warn(std::string_view line) {
  say("fastvlm: warning: ", line);
}
void note(std::string_view line) {
  say("fastvlm: ", line);
}

Status print(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) {
    return {};
  }
  return stdout_failed();
}

Status stdout_failed() {
  reader_left = errno == EPIPE;
  return error(Code::kIo, cat("stdout: cannot write: ", std::strerror(errno)),
               "check the disk, or the program that reads the output");
}

void handle_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // the write fails instead, which is reported
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, end);
}

void stop_politely() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, ask_to_stop);
}

bool stop_asked() {
  return asked_to_stop != 0;
}

}  // namespace fastvlm::cli

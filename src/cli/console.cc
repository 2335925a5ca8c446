// SPDX-License-Identifier: Apache-2.0
#include "cli/console.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

namespace fastvlm::cli {
namespace {

// One line, whatever a file name or a damaged file put into it.
std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) c = '?';
  }
  return line;
}

void say(std::string_view prefix, std::string_view text) {
  const std::string line = cat(prefix, one_line(text), "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

Exit report(const Status& status) {
  say("fastvlm: error: ", status.message);
  if (!status.hint.empty()) say("hint: ", status.hint);
  switch (status.code) {
    case Code::kUsage:
      return kWrongUse;
    case Code::kInterrupted:
      return kInterrupted;
    default:
      return kBadInput;
  }
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
  return error(Code::kIo, cat("stdout: cannot write: ", std::strerror(errno)),
               "check the disk, or the program that reads the output");
}

void handle_signals() {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGINT, [](int) {
    constexpr std::string_view kLine = "\nfastvlm: interrupted\n";
    if (::write(STDERR_FILENO, kLine.data(), kLine.size()) < 0) ::_exit(kInterrupted);
    ::_exit(kInterrupted);
  });
}

}  // namespace fastvlm::cli

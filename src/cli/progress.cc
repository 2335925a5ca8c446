// SPDX-License-Identifier: Apache-2.0
#include "cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/cpu.h"
#include "base/strings.h"
#include "cli/console.h"

namespace fastvlm::cli {
namespace {

constexpr double kSecondsBetweenRedraws = 0.2;
constexpr double kFirstNote = 10;  // seconds
constexpr double kRarestNote = 600;

std::string number(size_t value) {
  return with_thousands(static_cast<long long>(value));
}

size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

Progress::Progress(bool quiet)
    : quiet_(quiet), terminal_(::isatty(STDERR_FILENO) != 0), next_(terminal_ ? 0 : kFirstNote) {}

void Progress::show(const JobCounts& counts) {
  show([&](double seconds) {
    return progress_line(counts, seconds, static_cast<double>(peak_resident_bytes()));
  });
}

void Progress::show(const std::function<std::string(double seconds)>& make_line) {
  const double now = watch_.seconds();
  if (quiet_ || now < next_) return;
  const std::string line = make_line(now);
  if (!terminal_) {
    note(line);
    next_ = now + std::clamp(now / 2, kFirstNote, kRarestNote);
    return;
  }
  const std::string shown = "\r\033[K" + line.substr(0, terminal_width() - 1);
  std::fwrite(shown.data(), 1, shown.size(), stderr);
  shown_ = true;
  next_ = now + kSecondsBetweenRedraws;
}

void Progress::clear() {
  if (shown_) std::fputs("\r\033[K", stderr);
  shown_ = false;
}

std::string progress_line(const JobCounts& counts, double seconds, double bytes) {
  std::string line = number(counts.done());
  if (counts.total > 0) {
    line += cat(" of ", number(counts.total), " (", 100 * counts.done() / counts.total, " %)");
  }
  if (counts.made > 0 && seconds > 0) {
    const double rate = 60 * static_cast<double>(counts.made) / seconds;
    line += cat(", ", rate < 10 ? fixed(rate, 1) : number(static_cast<size_t>(std::lround(rate))),
                " a minute");
    if (counts.total > counts.done()) {
      // Damaged pictures take their time too.
      const double each = seconds / static_cast<double>(counts.made + counts.failed);
      line +=
          cat(", ", duration(static_cast<double>(counts.total - counts.done()) * each), " left");
    }
  }
  if (counts.failed > 0) line += cat(", ", number(counts.failed), " failed");
  return cat(line, ", ", std::lround(bytes / 1e6), " MB");
}

std::string duration(double seconds) {
  const long long whole = std::llround(seconds);
  if (whole < 60) return cat(whole, " s");
  if (whole < 3600) return cat(whole / 60, " min ", whole % 60, " s");
  return cat(with_thousands(whole / 3600), " h ", whole % 3600 / 60, " min");
}

}  // namespace fastvlm::cli

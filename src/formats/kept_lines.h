// SPDX-License-Identifier: Apache-2.0
// A text file that only grows, line by line, and outlives the run that writes it. Goals: one writer
// at a time; a line is whole and on disk, or as good as not there; files of any size. Non-goals:
// what stands in the lines.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace fastvlm {

// Where a line stands in its file; without its end.
struct LinePlace {
  int64_t offset = 0;
  int64_t size = 0;
};

// Called with each whole line in turn; an error ends the visit.
using LineVisitor = std::function<Status(std::string_view line, LinePlace place)>;

// Visits the whole lines of a file. Returns what follows the last one: a line that was cut off when
// its writer was interrupted, or nothing.
Result<std::string> visit_lines(const std::filesystem::path& path, const LineVisitor& visit);

// A piece of a file.
Result<std::string> read_line(const std::filesystem::path& path, LinePlace place);

class KeptLines {
 public:
  // Opens the file, or makes it, and locks it for as long as the object lives. Errors: kIo (it
  // cannot be written, another run is writing it). Where a file system knows no locks, one run has
  // to do.
  static Result<KeptLines> open(const std::filesystem::path& path);

  KeptLines() = default;  // nothing is kept
  KeptLines(KeptLines&& other) noexcept;
  KeptLines& operator=(KeptLines&& other) noexcept;
  KeptLines(const KeptLines&) = delete;
  KeptLines& operator=(const KeptLines&) = delete;
  ~KeptLines();

  bool is_open() const { return fd_ >= 0; }
  const std::filesystem::path& path() const { return path_; }
  // Takes the torn line away that visit_lines() returned. Call before the first append().
  Status drop(std::string_view torn);
  // Adds a line, which holds no line end, and syncs it to the disk. After an error the file is as
  // it was before.
  Result<LinePlace> append(std::string_view line);

 private:
  Status failed(int reason) const;

  std::filesystem::path path_;
  int fd_ = -1;
};

}  // namespace fastvlm

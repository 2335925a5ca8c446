// SPDX-License-Identifier: Apache-2.0
#include "formats/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <sstream>

#include "base/mapped_file.h"
#include "support/files.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

size_t files_in(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), {}));
}

TEST(AtomicFile, AppearsAtCommitOnly) {
  const test::TemporaryFolder folder;
  const fs::path path = folder / "out.txt";
  ASSERT_TRUE(write_file_atomically(path, "old").ok());
  auto file = AtomicFile::create(path);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->write(std::as_bytes(std::span("new", 3))).ok());
  EXPECT_EQ(*read_text_file(path), "old");
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(*read_text_file(path), "new");
  EXPECT_EQ(files_in(folder.path()), 1U);
}

TEST(AtomicFile, AbandonedLeavesNothing) {
  const test::TemporaryFolder folder;
  {
    auto file = AtomicFile::create(folder / "out.txt");
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(file->write(std::as_bytes(std::span("half", 4))).ok());
    const AtomicFile moved = std::move(*file);
    EXPECT_EQ(files_in(folder.path()), 1U);
  }
  EXPECT_EQ(files_in(folder.path()), 0U);
}

TEST(AtomicFile, ReplacesFilesOnly) {
  const test::TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  const Status pipe = write_file_atomically(folder / "pipe", "x");
  EXPECT_EQ(pipe.code, Code::kInvalid);
  EXPECT_THAT(pipe.message, HasSubstr("found a device or a pipe"));
  EXPECT_TRUE(fs::is_fifo(folder / "pipe"));

  std::ofstream(folder / "file") << "old";
  fs::create_symlink("file", folder / "link");
  ASSERT_TRUE(write_file_atomically(folder / "link", "new").ok());
  EXPECT_TRUE(fs::is_symlink(folder / "link"));
  EXPECT_EQ(*read_text_file(folder / "file"), "new");

  fs::create_symlink("loop", folder / "loop");
  EXPECT_FALSE(write_file_atomically(folder / "loop", "x").ok());
}

TEST(AtomicFile, ASignalHandlerCanTidyUp) {
  const test::TemporaryFolder folder;
  ASSERT_TRUE(write_file_atomically(folder / "done", "x").ok());
  auto file = AtomicFile::create(folder / "half");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(files_in(folder.path()), 2U);
  remove_unfinished_files();
  EXPECT_EQ(files_in(folder.path()), 1U);
  EXPECT_TRUE(fs::exists(folder / "done"));
}

TEST(AtomicFile, SaysWhyItCannotWrite) {
  const test::TemporaryFolder folder;
  EXPECT_EQ(AtomicFile::create(folder.path()).status().code, Code::kInvalid);
  const Status no_folder = AtomicFile::create(folder / "none/out.txt").status();
  EXPECT_EQ(no_folder.code, Code::kNotFound);
  EXPECT_THAT(no_folder.message, HasSubstr("its folder does not exist"));
  const Status file_as_folder = [&] {
    std::ofstream(folder / "file") << "x";
    return AtomicFile::create(folder / "file/out.txt").status();
  }();
  EXPECT_THAT(file_as_folder.message, HasSubstr("cannot be created: Not a directory"));
  EXPECT_FALSE(file_as_folder.hint.empty());
}

// A write that the system cuts short and then refuses, as on a full disk.
TEST(AtomicFile, RefusedWriteLeavesNothing) {
  const test::TemporaryFolder folder;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status status = write_file_atomically(folder / "out.txt", std::string(10000, 'x'));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(status.code, Code::kIo);
  EXPECT_THAT(status.message, HasSubstr("out.txt: cannot be written: File too large"));
  EXPECT_EQ(files_in(folder.path()), 0U);
}

// File systems take 255 bytes for a name, and temporary names are longer than those of the files.
TEST(AtomicFile, LongNames) {
  const test::TemporaryFolder folder;
  const std::string longest = "\u00E9" + std::string(253, 'a');
  ASSERT_TRUE(write_file_atomically(folder / longest, "x").ok());
  EXPECT_EQ(*read_text_file(folder / longest), "x");
  EXPECT_EQ(files_in(folder.path()), 1U);
  const Status refused = write_file_atomically(folder / (longest + "a"), "x");
  EXPECT_EQ(refused.code, Code::kInvalid) << "no fault of the disk";
  EXPECT_THAT(refused.message, HasSubstr("its name is too long for this file system"));
  {
    // What a killed process leaves is found again by the whole name.
    auto file = AtomicFile::create(folder / longest);
    ASSERT_TRUE(file.ok());
    EXPECT_EQ(files_in(folder.path()), 2U);
    remove_abandoned_files(folder.path(), {longest});
    EXPECT_EQ(files_in(folder.path()), 1U);
  }
}

TEST(AtomicFile, TakesAttributes) {
  const test::TemporaryFolder folder;
  const fs::path path = folder / "a";
  std::ofstream(path) << "old";
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  const auto then = fs::file_time_type(std::chrono::hours(24 * 365));
  fs::last_write_time(path, then);
  auto file = AtomicFile::create(path);
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE(file->write(std::as_bytes(std::span("new", 3))).ok());
  ASSERT_TRUE(file->take_attributes_of(path).ok());
  ASSERT_TRUE(file->commit().ok());
  EXPECT_EQ(*read_text_file(path), "new");
  EXPECT_EQ(fs::status(path).permissions(), static_cast<fs::perms>(0640));
  EXPECT_EQ(fs::last_write_time(path), then);
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "formats/atomic_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(AtomicFile, FullDiskIsNamed) {
  // A pipe of the kernel that takes nothing: every write to it fails as on a full disk.
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "needs /dev/full";
  const Status status = write_file_atomically("/dev/full/x", "x");
  EXPECT_EQ(status.code, Code::kIo);
}

}  // namespace
}  // namespace fastvlm

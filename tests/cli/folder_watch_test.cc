// SPDX-License-Identifier: Apache-2.0
#include "cli/folder_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "support/files.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;

TEST(FolderWatch, TellsOfWhatIsThere) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "a") << "x";
  std::ofstream(folder / "b") << "x";
  auto watch = FolderWatch::open(folder.path(), false, [](const fs::path&) { return true; });
  ASSERT_TRUE(watch.ok()) << watch.status().message;
  fs::rename(folder / "a", folder / "c");  // as downloads take their names in the end
  const auto next = [&]() -> std::string {
    const auto path = watch->next(false, [] { return true; });
    if (!path.ok()) return path.status().message;
    return *path ? (*path)->filename().string() : "(none)";
  };
  EXPECT_EQ(next(), "b");
  EXPECT_EQ(next(), "c");
  EXPECT_EQ(next(), "(none)");
  const fs::path elsewhere = folder.path().string() + "-elsewhere";
  fs::rename(folder.path(), elsewhere);
  EXPECT_THAT(next(), testing::HasSubstr("was renamed or removed while it was watched"));
  fs::create_directory(folder.path());
  EXPECT_THAT(next(), testing::HasSubstr("was renamed")) << "another folder of that name";
  fs::remove_all(elsewhere);
}

}  // namespace
}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
#include "formats/kept_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <vector>

#include "base/mapped_file.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class KeptLinesTest : public testing::Test {
 protected:
  // The whole lines; what follows them goes to `torn`.
  std::vector<std::string> lines(std::string& torn) const {
    std::vector<std::string> found;
    const auto rest = visit_lines(path_, [&](std::string_view line, LinePlace place) -> Status {
      found.emplace_back(line);
      EXPECT_EQ(*read_line(path_, place), line);
      return {};
    });
    EXPECT_TRUE(rest.ok());
    torn = *rest;
    return found;
  }

  test::TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "lines";
};

TEST_F(KeptLinesTest, GrowsAndIsReadBack) {
  {
    auto kept = KeptLines::open(path_);
    ASSERT_TRUE(kept.ok());
    ASSERT_TRUE(kept->append("first").ok());
    const auto place = kept->append("second");
    ASSERT_TRUE(place.ok());
    EXPECT_EQ(*read_line(path_, *place), "second");
  }
  auto again = KeptLines::open(path_);
  ASSERT_TRUE(again.ok());
  ASSERT_TRUE(again->append("").ok());
  std::string torn;
  EXPECT_THAT(lines(torn), ElementsAre("first", "second", ""));
  EXPECT_EQ(torn, "");
}

TEST_F(KeptLinesTest, ATornLineIsFoundAndDropped) {
  std::ofstream(path_) << "one\ntwo\nthr";
  std::string torn;
  EXPECT_THAT(lines(torn), ElementsAre("one", "two"));
  EXPECT_EQ(torn, "thr");
  auto kept = KeptLines::open(path_);
  ASSERT_TRUE(kept.ok());
  ASSERT_TRUE(kept->drop(torn).ok());
  ASSERT_TRUE(kept->append("three").ok());
  EXPECT_EQ(*read_text_file(path_), "one\ntwo\nthree\n");
}

TEST_F(KeptLinesTest, OneWriterAtATime) {
  auto first = KeptLines::open(path_);
  ASSERT_TRUE(first.ok());
  const auto second = KeptLines::open(path_);
  EXPECT_EQ(second.status().code, Code::kIo);
  EXPECT_THAT(second.status().message, HasSubstr("another run is writing it"));
  { const KeptLines gone = std::move(*first); }
  EXPECT_TRUE(KeptLines::open(path_).ok());
}

// As on a full disk.
TEST_F(KeptLinesTest, ARefusedLineLeavesTheFileAsItWas) {
  auto kept = KeptLines::open(path_);
  ASSERT_TRUE(kept.ok());
  ASSERT_TRUE(kept->append("whole").ok());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const Status refused = kept->append(std::string(10000, 'x')).status();
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(refused.code, Code::kIo);
  EXPECT_THAT(refused.message, HasSubstr("lines: cannot be written: File too large"));
  EXPECT_EQ(*read_text_file(path_), "whole\n");
  EXPECT_TRUE(kept->append("next").ok());
}

TEST_F(KeptLinesTest, SaysWhyItCannotBeOpened) {
  EXPECT_EQ(KeptLines::open(folder_ / "none/lines").status().code, Code::kIo);
  EXPECT_EQ(KeptLines::open(folder_.path()).status().code, Code::kIo);
  EXPECT_EQ(read_line(folder_ / "none", {0, 3}).status().code, Code::kIo);
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// fastvlm caption on a disk that is really full: a small file system in a namespace of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/mapped_file.h"
#include "cli/program.h"
#include "image/encode.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class FullDiskTest : public testing::Test {
 protected:
  FullDiskTest() {
    test::make_tiny_model(folder_ / "tiny", "hd_tied");
    fs::create_directories(folder_ / "p");
    for (int i = 0; i < 12; ++i) {
      const std::string name = std::to_string(i) + ".png";
      Image image = blank_image(40, 30);
      for (size_t k = 0; k < image.rgb.size(); ++k) {
        image.rgb[k] = static_cast<uint8_t>(k * static_cast<size_t>(i + 1));
      }
      std::ofstream(folder_ / "p" / name, std::ios::binary) << *encode_png(image, name);
    }
    fs::create_directories(folder_ / "small");
  }

  // Runs a shell script in the folder, with `small` a file system of 160 KiB; $caption is the
  // program with its model.
  test::Run in_small_space(const std::string& script) const {
    const std::string caption = std::string(FASTVLM_BINARY_DIR) +
                                "/fastvlm caption --model tiny --max-tokens 64 --prompt hello p";
    return test::run(
        {"/usr/bin/unshare", "--map-root-user", "--mount", "/bin/sh", "-c",
         "mount -t tmpfs -o size=160k none small || exit 77\ncaption='" + caption + "'\n" + script},
        {.environment = {{"XDG_CACHE_HOME", (folder_ / "no-cache").string()}},
         .folder = folder_.path()});
  }
  std::string read(const std::string& name) const {
    const auto text = read_text_file(folder_ / name);
    return text.ok() ? *text : "(" + text.status().message + ")";
  }

  test::TemporaryFolder folder_;
};

TEST_F(FullDiskTest, WhatIsDoneIsKeptAndTheRestIsMadeLater) {
  if (in_small_space("true").code != 0) GTEST_SKIP() << "no mounting in a namespace here";
  const test::Run run = in_small_space(R"(
    $caption --out whole.jsonl || exit 1
    head -c 155648 /dev/zero >small/ballast
    $caption --out small/all.jsonl 2>full.err
    echo $? >full.code
    ls -A small >left
    rm small/ballast
    $caption --out small/all.jsonl 2>again.err || exit 2
    ls -A small >after
    cp small/all.jsonl all.jsonl)");
  ASSERT_EQ(run.code, 0) << run.err << read("again.err");
  EXPECT_EQ(read("full.code"), "2\n");
  EXPECT_THAT(read("full.err"), AllOf(HasSubstr("cannot be written: No space left on device"),
                                      HasSubstr("free some space")));
  EXPECT_EQ(read("left"), "all.jsonl.journal\nballast\n");
  EXPECT_EQ(read("after"), "all.jsonl\nall.jsonl.journal\n");
  EXPECT_THAT(read("again.err"), AllOf(HasSubstr("12 of 12 pictures"), HasSubstr("made before")));
  EXPECT_EQ(read("all.jsonl"), read("whole.jsonl"));
}

// The journal has room elsewhere, the captions have none.
TEST_F(FullDiskTest, NoHalfSidecars) {
  if (in_small_space("true").code != 0) GTEST_SKIP() << "no mounting in a namespace here";
  const test::Run run = in_small_space(R"(
    head -c 151552 /dev/zero >small/ballast
    $caption --out small/captions --format txt,json --journal here.journal 2>full.err
    echo $? >full.code
    find small -type f -name '*.*' -size -1c >empty
    find small -name '*.tmp*' >temporary
    rm small/ballast
    $caption --out small/captions --format txt,json --journal here.journal 2>again.err || exit 2
    ls -A small/captions | wc -l >count)");
  ASSERT_EQ(run.code, 0) << run.err << read("again.err");
  EXPECT_EQ(read("full.code"), "2\n");
  EXPECT_THAT(read("full.err"), HasSubstr("No space left on device"));
  EXPECT_EQ(read("empty"), "");
  EXPECT_EQ(read("temporary"), "");
  EXPECT_EQ(read("count"), "24\n");
}

}  // namespace
}  // namespace fastvlm

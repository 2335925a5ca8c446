// SPDX-License-Identifier: Apache-2.0
// fastvlm caption over very many pictures with the demo model: every caption whole, memory flat.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "caption/schema.h"
#include "cli/program.h"
#include "image/decode.h"
#include "image/encode.h"
#include "support/test_length.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The lines of a JSON Lines output, each with its seven sections and a reason for its end; how many
// there are.
size_t expect_whole_captions(const fs::path& file) {
  std::ifstream lines(file);
  size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const json caption = json::parse(line);
    EXPECT_EQ(caption["sections"].size(), kSectionCount) << line;
    for (const auto& [name, text] : caption["sections"].items()) {
      EXPECT_TRUE(text.is_string() && !text.get_ref<const std::string&>().empty())
          << name << " of " << line;
    }
    EXPECT_EQ(caption["finish_reasons"].size(), kSectionCount) << line;
    if (testing::Test::HasFailure()) return count;
  }
  return count;
}

class SoakTest : public testing::Test {
 protected:
  // `count` pictures, each other pixels: the examples, made darker and shifted.
  void make_pictures(size_t count) {
    std::vector<Image> examples;
    for (const auto& entry : fs::directory_iterator(fs::path(FASTVLM_SOURCE_DIR) / "examples")) {
      if (entry.path().extension() == ".jpg") examples.push_back(*load_image(entry.path()));
    }
    fs::create_directories(folder_ / "pictures");
    for (size_t i = 0; i < count; ++i) {
      Image image = examples[i % examples.size()];
      const size_t round = i / examples.size();
      for (uint8_t& value : image.rgb) {
        value = static_cast<uint8_t>(value - value * (round % 32) / 64);
      }
      const auto middle = static_cast<int64_t>(round / 32 % 64 * image.stride());
      std::rotate(image.rgb.begin(), image.rgb.begin() + middle, image.rgb.end());
      const std::string name = std::to_string(i) + ".jpg";
      std::ofstream(folder_ / "pictures" / name, std::ios::binary) << *encode_jpeg(image, name);
    }
  }

  test::TemporaryFolder folder_;
};

// Resident memory of a process in bytes; 0 when it has ended.
int64_t resident_bytes(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/statm");
  int64_t pages = 0;
  file >> pages >> pages;
  return pages * ::sysconf(_SC_PAGESIZE);
}

// Starts `command` in `folder`, looks at its memory every 50 ms, and waits for its end.
std::vector<int64_t> memory_of(const std::vector<std::string>& command, const fs::path& folder,
                               int& status) {
  const pid_t child = ::fork();
  if (child == 0) {
    const int nowhere = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    test::detail::become(command, {.folder = folder}, nowhere, nowhere, STDERR_FILENO);
  }
  std::vector<int64_t> samples;
  while (::waitpid(child, &status, WNOHANG) == 0) {
    samples.push_back(resident_bytes(child));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return samples;
}

TEST_F(SoakTest, ManyPicturesInFlatMemory) {
  if (test::test_length() == "fast") GTEST_SKIP() << "not part of the fast run";
  const size_t count = test::test_length() == "long" ? 10'000 : 400;
  make_pictures(count);
  const auto begin = std::chrono::steady_clock::now();
  int status = 0;
  const std::vector<int64_t> memory =
      memory_of({std::string(FASTVLM_BINARY_DIR) + "/fastvlm", "caption", "pictures", "--out",
                 "all.jsonl", "--quiet"},
                folder_.path(), status);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(expect_whole_captions(folder_ / "all.jsonl"), count);

  // In the first half what is kept of pictures seen fills up (8 MB); the end, all.jsonl written
  // from the journal, is part of the second.
  ASSERT_GT(memory.size(), 20U);
  const auto warm = memory.begin() + static_cast<std::ptrdiff_t>(memory.size() / 2);
  const int64_t early = *std::max_element(memory.begin(), warm);
  const int64_t most = *std::max_element(warm, memory.end());
  const double minutes =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / 60;
  std::cout << count << " pictures: " << static_cast<double>(count) / minutes
            << " a minute, at most " << early / 1'000'000 << " MB in the first half, "
            << most / 1'000'000 << " MB after it\n";
  constexpr int64_t kBytesPerPicture = 600;  // its name and its place in the journal stay in memory
  // What the allocator holds back differs by two megabytes with what else the machine does.
  constexpr int64_t kHeldBack = 4'000'000;
  EXPECT_LE(most, early + kHeldBack + kBytesPerPicture * static_cast<int64_t>(count));
}

TEST_F(SoakTest, EveryPhotographHasSevenSections) {
  const fs::path photographs = test::shared("images");
  if (!fs::exists(photographs)) GTEST_SKIP() << "no " << photographs;
  const test::Run run = test::fastvlm({"caption", photographs.string(), "-r", "--out", "all.jsonl"},
                                      {.folder = folder_.path()});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_EQ(expect_whole_captions(folder_ / "all.jsonl"), 35U);
}

}  // namespace
}  // namespace fastvlm

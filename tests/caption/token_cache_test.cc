// SPDX-License-Identifier: Apache-2.0
// What is kept of pictures and prompts changes no caption.
#include "caption/token_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "caption/engine.h"
#include "support/files.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int64_t kCount = 4, kWidth = 8;
constexpr int64_t kBytes = kCount * kWidth * 4;

std::string key_of(int number) {
  std::string key(64, '0');
  key[0] = static_cast<char>('a' + number % 6);
  key[63] = static_cast<char>('0' + number / 6 % 10);
  return key;
}

Tokens tokens_of(int number) {
  Tokens tokens{kCount, kWidth, std::vector<float>(static_cast<size_t>(kCount * kWidth))};
  for (size_t i = 0; i < tokens.values.size(); ++i) {
    tokens.values[i] = static_cast<float>(number) + static_cast<float>(i) / 64;
  }
  return tokens;
}

class TokenCacheTest : public testing::Test {
 protected:
  TokenCacheOptions on_disk(int64_t bytes = 1 << 20) const {
    return {.memory_bytes = 0, .folder = folder_ / "kept", .folder_bytes = bytes};
  }
  static bool has(TokenCache& cache, int number) {
    const auto found = cache.find(key_of(number), kCount, kWidth);
    if (!found) return false;
    EXPECT_EQ(found->values, tokens_of(number).values);
    return true;
  }
  fs::path file(int number) const { return folder_ / "kept" / (key_of(number) + ".tokens"); }

  test::TemporaryFolder folder_;
};

TEST_F(TokenCacheTest, MemoryHoldsTheLatest) {
  TokenCache cache({.memory_bytes = 3 * kBytes, .folder = {}});
  ASSERT_TRUE(cache.prepare().ok());
  EXPECT_FALSE(has(cache, 0));
  for (int i = 0; i < 3; ++i) cache.put(key_of(i), tokens_of(i));
  EXPECT_TRUE(has(cache, 0));  // used, and so later than 1
  cache.put(key_of(3), tokens_of(3));
  EXPECT_TRUE(has(cache, 0));
  EXPECT_FALSE(has(cache, 1));
  EXPECT_TRUE(has(cache, 2));
  EXPECT_TRUE(has(cache, 3));
  EXPECT_FALSE(cache.find(key_of(3), kCount, kWidth + 1));  // another model's
}

TEST_F(TokenCacheTest, DiskOutlivesTheProcess) {
  TokenCache first(on_disk());
  ASSERT_TRUE(first.prepare().ok());
  first.put(key_of(1), tokens_of(1));
  TokenCache second(on_disk());
  ASSERT_TRUE(second.prepare().ok());
  EXPECT_TRUE(has(second, 1));
  EXPECT_FALSE(has(second, 2));
  EXPECT_TRUE(second.trouble().ok());
}

TEST_F(TokenCacheTest, DamagedFilesAreAsGoodAsNone) {
  TokenCache cache(on_disk());
  ASSERT_TRUE(cache.prepare().ok());
  cache.put(key_of(1), tokens_of(1));
  const auto size = static_cast<int>(fs::file_size(file(1)));
  for (int cut = 0; cut < size; cut += 7) {
    cache.put(key_of(1), tokens_of(1));
    ASSERT_TRUE(has(cache, 1));
    std::fstream(file(1), std::ios::in | std::ios::out | std::ios::binary).seekp(cut) << '~';
    EXPECT_FALSE(has(cache, 1)) << "byte " << cut;
    fs::resize_file(file(1), static_cast<uintmax_t>(cut));
    EXPECT_FALSE(has(cache, 1)) << "cut at " << cut;
  }
  cache.put(key_of(1), tokens_of(1));
  EXPECT_TRUE(has(cache, 1));
}

TEST_F(TokenCacheTest, TheLeastRecentlyUsedFilesGoFirst) {
  TokenCache cache(on_disk());
  ASSERT_TRUE(cache.prepare().ok());
  for (int i = 0; i < 20; ++i) cache.put(key_of(i), tokens_of(i));
  const auto now = fs::file_time_type::clock::now();
  for (int i = 0; i < 20; ++i) {
    fs::last_write_time(file(i), now - std::chrono::minutes(60 - i));
  }
  EXPECT_TRUE(has(cache, 0));  // used just now
  std::ofstream(folder_ / "kept" / "notes.txt") << std::string(100'000, 'a');
  const auto one = static_cast<int64_t>(fs::file_size(file(0)));
  TokenCache smaller(on_disk(10 * one));
  smaller.put(key_of(20), tokens_of(20));
  EXPECT_TRUE(has(smaller, 0));
  EXPECT_TRUE(has(smaller, 20));
  EXPECT_TRUE(has(smaller, 19));
  EXPECT_FALSE(has(smaller, 1));
  EXPECT_FALSE(has(smaller, 11));
  EXPECT_TRUE(fs::exists(folder_ / "kept" / "notes.txt"));
  for (int i = 21; i < 50; ++i) smaller.put(key_of(i), tokens_of(i));
  int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder_ / "kept")) {
    if (entry.path().extension() == ".tokens") bytes += static_cast<int64_t>(entry.file_size());
  }
  EXPECT_LE(bytes, 12 * one);  // headers are not counted between two looks
}

TEST_F(TokenCacheTest, WhatAKilledProcessLeftIsRemovedLater) {
  TokenCache cache(on_disk());
  ASSERT_TRUE(cache.prepare().ok());
  const fs::path left = folder_ / "kept" / ("." + key_of(1) + ".tokens.partial-1-0");
  const fs::path young = folder_ / "kept" / ("." + key_of(2) + ".tokens.partial-1-1");
  std::ofstream(left) << "half";
  std::ofstream(young) << "half";
  fs::last_write_time(left, fs::file_time_type::clock::now() - std::chrono::hours(2));
  cache.put(key_of(3), tokens_of(3));
  EXPECT_FALSE(fs::exists(left));
  EXPECT_TRUE(fs::exists(young));
}

TEST_F(TokenCacheTest, SeveralUseOneFolder) {
  ASSERT_TRUE(TokenCache(on_disk()).prepare().ok());
  std::vector<std::thread> users;
  for (int user = 0; user < 4; ++user) {
    users.emplace_back([this, user] {
      TokenCache cache(on_disk(5 * 400));
      for (int i = 0; i < 60; ++i) {
        const int number = (i * 7 + user) % 12;
        if (!has(cache, number)) cache.put(key_of(number), tokens_of(number));
      }
      EXPECT_TRUE(cache.trouble().ok()) << cache.trouble().message;
    });
  }
  for (std::thread& user : users) user.join();
}

TEST_F(TokenCacheTest, TroubleIsToldAndEndsNothing) {
  std::ofstream(folder_ / "file") << "a";
  TokenCache none({.folder = folder_ / "file"});
  EXPECT_EQ(none.prepare().code, Code::kIo);
  TokenCache cache(on_disk());
  ASSERT_TRUE(cache.prepare().ok());
  fs::remove_all(folder_ / "kept");
  cache.put(key_of(1), tokens_of(1));
  EXPECT_THAT(cache.trouble().message, HasSubstr(key_of(1)));
  EXPECT_FALSE(has(cache, 1));
}

TEST_F(TokenCacheTest, ForeignFilesAndLinksStay) {
  fs::create_directories(folder_ / "kept");
  const fs::path backup = folder_ / "kept" / (key_of(9) + ".tokens.mine");
  std::ofstream(backup) << std::string(500, 'x');
  std::ofstream(folder_ / "victim") << "precious";
  fs::create_symlink(folder_ / "victim", file(1));
  TokenCache cache(on_disk(2 * kBytes));
  ASSERT_TRUE(cache.prepare().ok());
  for (int i = 0; i < 6; ++i) cache.put(key_of(i), tokens_of(i));
  EXPECT_TRUE(fs::exists(backup));
  std::string text;
  std::ifstream(folder_ / "victim") >> text;
  EXPECT_EQ(text, "precious");
}

// Engine and session, with the demo model.
class Reuse : public testing::Test {
 protected:
  std::shared_ptr<const Engine> load(Arithmetic language = Arithmetic::kInt8,
                                     TokenCacheOptions cache = {}, bool keep_tower = true) {
    EngineOptions options;
    options.model = test::demo_model();
    options.language = language;
    options.token_cache = std::move(cache);
    options.keep_tower = keep_tower;
    return *Engine::load(options, pool_);
  }
  static Image picture(int seed) {
    Image image = blank_image(80, 60);
    for (size_t i = 0; i < image.rgb.size(); ++i) {
      image.rgb[i] = static_cast<uint8_t>(i * static_cast<size_t>(seed + 3) / 50 % 251);
    }
    return image;
  }
  static CaptionRequest request(int kind) {
    CaptionRequest request;
    request.max_tokens = 90;
    if (kind % 4 == 1) request.prompt = "Describe the image.";
    if (kind % 4 == 2) request.prompt = "Describe the image. What is on the left?";
    if (kind % 4 == 3) request.order = PromptOrder::kImageLast;
    if (kind % 5 == 4) request.beams = 2;
    return request;
  }

  test::TemporaryFolder folder_;
  ThreadPool pool_{2};
};

TEST_F(Reuse, CaptionsAreThoseOfANewSession) {
  for (const Arithmetic language : {Arithmetic::kInt8, Arithmetic::kF32}) {
    Session session(load(language), pool_);
    const auto plain = load(language, {.memory_bytes = 0, .folder = {}});
    int kept = 0, pictures_kept = 0;
    for (int i = 0; i < 24; ++i) {
      const Image image = picture(i / 3 % 3);
      const auto made = session.caption(image, request(i));
      const auto expected = Session(plain, pool_).caption(image, request(i));
      ASSERT_TRUE(made.ok() && expected.ok());
      ASSERT_EQ(made->text, expected->text) << i;
      EXPECT_FALSE(expected->timings.vision_kept);
      EXPECT_EQ(expected->timings.prompt_tokens_kept, 0);
      if (made->timings.prompt_tokens_kept > 0) ++kept;
      if (made->timings.prompt_tokens_kept > made->timings.image_tokens) ++pictures_kept;
      EXPECT_EQ(made->timings.vision_kept, i % 3 != 0 || i >= 9) << i;
    }
    // Numbers of a model in f32 depend on which rows run together: nothing is kept of its prompts.
    EXPECT_EQ(kept, language == Arithmetic::kInt8 ? 23 : 0);
    EXPECT_EQ(pictures_kept > 4, language == Arithmetic::kInt8);
  }
}

TEST_F(Reuse, TokensOnDiskNeedNoTower) {
  const TokenCacheOptions cache{.memory_bytes = 0, .folder = folder_ / "kept"};
  const auto first = Session(load(Arithmetic::kInt8, cache), pool_).caption(picture(1), request(0));
  ASSERT_TRUE(first.ok());
  EXPECT_FALSE(first->timings.vision_kept);
  for (const bool keep_tower : {true, false}) {
    const auto again =
        Session(load(Arithmetic::kInt8, cache, keep_tower), pool_).caption(picture(1), request(0));
    ASSERT_TRUE(again.ok());
    EXPECT_TRUE(again->timings.vision_kept);
    EXPECT_EQ(again->timings.vision_seconds, 0);
    EXPECT_EQ(again->text, first->text);
  }
  // What the tower sees, or how it computes, is another: nothing is known.
  EngineOptions other;
  other.model = test::demo_model();
  other.token_cache = cache;
  other.image_size = 128;
  EXPECT_FALSE(Session(*Engine::load(other, pool_), pool_)
                   .caption(picture(1), request(0))
                   ->timings.vision_kept);
  other.image_size.reset();
  other.vision = Arithmetic::kBf16;
  EXPECT_FALSE(Session(*Engine::load(other, pool_), pool_)
                   .caption(picture(1), request(0))
                   ->timings.vision_kept);
}

}  // namespace
}  // namespace fastvlm

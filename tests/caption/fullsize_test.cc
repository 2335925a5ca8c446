// SPDX-License-Identifier: Apache-2.0
// Both real-width models from picture to greedy ids, against Apple's and Hugging Face's code run on
// the same hash-made weights (docs/ACCURACY.md). Needs the larger goldens, 3 GB of disk and of
// memory, and half a minute.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "caption/engine.h"
#include "formats/hashed_checkpoint.h"
#include "language/decoding.h"
#include "support/files.h"
#include "support/test_length.h"
#include "text/conversation.h"

namespace fastvlm {
namespace {

// The picture of the goldens: three gradients and hashed noise, u8 / 255, [side, side, 3].
std::vector<float> hashed_picture(int64_t side) {
  const HashedTensor noise("", cat("image", side), {3, side, side});
  std::vector<float> pixels(static_cast<size_t>(3 * side * side));
  for (int64_t y = 0; y < side; ++y) {
    for (int64_t x = 0; x < side; ++x) {
      const int64_t base[3] = {x * 255 / (side - 1), y * 255 / (side - 1),
                               (x + y) * 255 / (2 * (side - 1))};
      for (int64_t c = 0; c < 3; ++c) {
        const auto n = static_cast<int64_t>(64 * noise.unit((c * side + y) * side + x));
        const int64_t value = std::min<int64_t>(base[c] * 3 / 4 + n, 255);
        pixels[static_cast<size_t>((y * side + x) * 3 + c)] = static_cast<float>(value) / 255.0F;
      }
    }
  }
  return pixels;
}

class FullSize : public testing::TestWithParam<HashedTower> {
 protected:
  void SetUp() override {
    if (test::test_length() == "fast") GTEST_SKIP() << "not part of the fast run";
    if (!std::filesystem::exists(test::shared("goldens/fullsize")))
      GTEST_SKIP() << "needs the larger goldens";
  }

  // |a - b| <= tolerance for every element of the golden tensor `key`.
  void expect_golden(const SafetensorsFile& goldens, const std::string& key,
                     const std::vector<float>& found, float tolerance) {
    const TensorView* tensor = goldens.find(key);
    ASSERT_NE(tensor, nullptr) << key;
    const auto expected = to_floats(*tensor, key);
    ASSERT_TRUE(expected.ok());
    ASSERT_EQ(found.size(), expected->size()) << key;
    float worst = 0;
    for (size_t i = 0; i < found.size(); ++i) {
      const float difference = std::abs(found[i] - (*expected)[i]);
      if (!(difference <= worst)) worst = difference;
    }
    EXPECT_LE(worst, tolerance) << key;
  }
};

TEST_P(FullSize, PictureToGreedyIds) {
  const bool hd = GetParam() == HashedTower::kFastVitHd;
  const std::string tower_key = hd ? "hd/" : "s0/";
  const std::string language_key = hd ? "lm_hd/" : "lm_s0/";
  const int64_t side = hd ? 1024 : 256;
  const auto goldens =
      SafetensorsFile::open(test::shared("goldens/fullsize/golden_fullsize.safetensors"));
  ASSERT_TRUE(goldens.ok());
  const auto info_text = read_text_file(test::shared("goldens/fullsize/info.json"));
  ASSERT_TRUE(info_text.ok());
  const nlohmann::json info = nlohmann::json::parse(*info_text);

  ThreadPool pool;
  const test::TemporaryFolder folder;
  HashedCheckpointOptions options;
  options.tower = GetParam();
  options.bits = 32;
  const Status written = write_hashed_checkpoint(folder.path(), options, pool);
  ASSERT_TRUE(written.ok()) << written.message;
  const auto checkpoint = Checkpoint::open(folder.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;

  Tokens projected;
  {
    const auto tower = VisionTower::load(*checkpoint, pool);
    ASSERT_TRUE(tower.ok()) << tower.status().message;
    const auto tokens = tower->encode(hashed_picture(side).data(), side, side, pool);
    ASSERT_TRUE(tokens.ok()) << tokens.status().message;
    const auto width = static_cast<size_t>(tokens->width);
    expect_golden(
        *goldens, tower_key + "tokens_first4_all_channels",
        {tokens->values.begin(), tokens->values.begin() + static_cast<std::ptrdiff_t>(4 * width)},
        5e-4F);
    std::vector<float> sampled;
    for (size_t i = 0; i < tokens->values.size(); i += 64) sampled.push_back(tokens->values[i]);
    expect_golden(*goldens, tower_key + "tokens_all_step64_channels", sampled, 5e-4F);
    const auto projector = Projector::load(*checkpoint, pool);
    ASSERT_TRUE(projector.ok()) << projector.status().message;
    projected = projector->project(*tokens, pool);
    expect_golden(*goldens, tower_key + "projected_first4",
                  {projected.values.begin(), projected.values.begin() + std::ptrdiff_t{4 * 896}},
                  5e-4F);
  }

  const auto language = Qwen2::load(*checkpoint, pool);
  ASSERT_TRUE(language.ok()) << language.status().message;
  const auto prompt = info.at("lm_prompt_ids").get<std::vector<TokenId>>();
  const auto rows = splice(*language, prompt, projected);
  ASSERT_TRUE(rows.ok()) << rows.status().message;
  const int64_t hidden = language->config().hidden_size;
  const auto length = static_cast<int64_t>(rows->size()) / hidden;
  EXPECT_EQ(length, info.at(language_key + "seq_len").get<int64_t>());

  KvCache cache(language->config(), length + 8);
  std::vector<float> logits;
  std::map<int64_t, int64_t> rows_seen;  // by layer: a long prompt arrives in several parts
  int layers_checked = 0;
  const auto check_hidden = [&](int64_t layer, const float* values, int64_t count, int64_t width) {
    const std::string key = cat(language_key, "hidden_", layer, "_last_token");
    rows_seen[layer] += count;
    if (rows_seen[layer] < length || goldens->find(key) == nullptr) return;
    expect_golden(*goldens, key, {values + (count - 1) * width, values + count * width}, 2e-3F);
    ++layers_checked;
  };
  ASSERT_TRUE(language
                  ->forward(cache, rows->data(), length, Qwen2::Logits::kLast, logits, pool,
                            {.hidden = check_hidden})
                  .ok());
  EXPECT_EQ(layers_checked, 5);  // 0, 1, 12, 23, 24
  std::vector<float> sampled;
  for (size_t i = 0; i < logits.size(); i += 64) sampled.push_back(logits[i]);
  expect_golden(*goldens, language_key + "last_logits_step64", sampled, 5e-4F);

  cache.truncate(0);
  DecodingOptions decoding;
  decoding.max_tokens = 8;
  const auto answer = decode(*language, cache, rows->data(), length, decoding, pool);
  ASSERT_TRUE(answer.ok()) << answer.status().message;
  EXPECT_EQ(answer->ids, info.at(language_key + "greedy8").get<std::vector<int32_t>>());
}

INSTANTIATE_TEST_SUITE_P(Towers, FullSize,
                         testing::Values(HashedTower::kFastVitHd, HashedTower::kMobileClipS0),
                         [](const auto& tower) {
                           return tower.param == HashedTower::kFastVitHd ? "FastViTHD"
                                                                         : "MobileClipS0";
                         });

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Each known mistake, made in a healthy folder, is found and named.
#include "caption/checkup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "formats/safetensors.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

class CheckupTest : public testing::Test {
 protected:
  CheckupTest() { test::make_tiny_model(folder_, "hd_tied"); }

  std::vector<Finding> examine() { return examine_model(folder_, {}, pool_); }
  // The finding of `check` that is worst; verdict kGood when there is none.
  static Finding worst(const std::vector<Finding>& findings, const std::string& check) {
    Finding result;
    for (const Finding& finding : findings) {
      if (finding.check == check && finding.verdict >= result.verdict) result = finding;
    }
    return result;
  }
  Finding worst(const std::string& check) { return worst(examine(), check); }

  test::TemporaryFolder scratch_;
  std::filesystem::path folder_ = scratch_ / "model";
  ThreadPool pool_{1};
};

TEST_F(CheckupTest, HealthyFolder) {
  test::edit_file(folder_ / "config.json", "\"vocab_size\"",
                  "\"eos_token_id\": 302, \"vocab_size\"");
  const auto findings = examine();
  for (const Finding& finding : findings)
    EXPECT_NE(finding.verdict, Verdict::kBad) << finding.found;
  EXPECT_FALSE(any_bad(findings));
  EXPECT_EQ(worst(findings, "end token").verdict, Verdict::kGood);
  EXPECT_EQ(worst(findings, "trial run").verdict, Verdict::kGood);
  EXPECT_FALSE(worst(findings, "trial run").found.empty());
}

TEST_F(CheckupTest, EndTokenMissing) {
  EXPECT_EQ(worst("end token").verdict, Verdict::kNote);
}

TEST_F(CheckupTest, NoFolder) {
  EXPECT_TRUE(any_bad(examine_model(folder_ / "none", {}, pool_)));
}

TEST_F(CheckupTest, GitLfsPointer) {
  std::ofstream(folder_ / "model.safetensors")
      << "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
  const Finding finding = worst("downloaded files");
  EXPECT_EQ(finding.verdict, Verdict::kBad);
  EXPECT_THAT(finding.remedy, testing::HasSubstr("git lfs pull"));
}

TEST_F(CheckupTest, FilesThatTheLoaderSkips) {
  std::ofstream(folder_ / "tokenizer_config.json") << "<html>";
  EXPECT_THAT(worst("JSON files").found, testing::HasSubstr("tokenizer_config.json"));
  EXPECT_EQ(worst("JSON files").verdict, Verdict::kBad);
  std::filesystem::remove(folder_ / "tokenizer_config.json");
  EXPECT_EQ(worst("JSON files").verdict, Verdict::kGood);
  std::filesystem::create_symlink("nowhere", folder_ / "added_tokens.json");
  EXPECT_EQ(worst("JSON files").verdict, Verdict::kBad);
}

TEST_F(CheckupTest, TieFlagWrong) {
  test::edit_file(folder_ / "config.json", "\"tie_word_embeddings\": true",
                  "\"tie_word_embeddings\": false");
  const Finding finding = worst("checkpoint");
  EXPECT_EQ(finding.verdict, Verdict::kBad);
  EXPECT_THAT(finding.found, testing::HasSubstr("lm_head"));
}

TEST_F(CheckupTest, NotPadded) {
  test::edit_file(folder_ / "config.json", "\"image_aspect_ratio\": \"pad\",", "");
  EXPECT_EQ(worst("aspect ratio").verdict, Verdict::kNote);
}

TEST_F(CheckupTest, ImageSizeOffTheGrid) {
  test::edit_file(folder_ / "config.json", "mobileclip_l_256", "mobileclip_l_250");
  const Finding finding = worst("image size");
  EXPECT_EQ(finding.verdict, Verdict::kBad) << finding.found;
}

TEST_F(CheckupTest, TowerMissing) {
  std::filesystem::remove_all(folder_);
  test::make_tiny_export(folder_, "hd_tied");
  const Finding finding = worst("vision tower");
  EXPECT_EQ(finding.verdict, Verdict::kBad);
  EXPECT_THAT(finding.remedy, testing::HasSubstr("--vision-tower"));
  const auto with_tower =
      examine_model(folder_, test::golden("vlm/hd_tied/vision_train_form.safetensors"), pool_);
  EXPECT_EQ(worst(with_tower, "quantised scales").verdict, Verdict::kGood);
  EXPECT_EQ(worst(with_tower, "embedding").verdict, Verdict::kNote);
  EXPECT_FALSE(any_bad(with_tower));
}

TEST_F(CheckupTest, TokenizerOfAnotherFamily) {
  auto tokenizer = test::small_tokenizer();
  tokenizer["added_tokens"] = nlohmann::json::array();
  std::ofstream(folder_ / "tokenizer.json") << tokenizer.dump();
  EXPECT_EQ(worst("chat template").verdict, Verdict::kBad);
  std::ofstream(folder_ / "tokenizer.json") << "{}";
  EXPECT_EQ(worst("tokenizer").verdict, Verdict::kBad);
}

TEST_F(CheckupTest, VocabularyLargerThanTheModel) {
  auto tokenizer = test::small_tokenizer();
  auto extra = tokenizer["added_tokens"][0];
  extra["id"] = 600;
  extra["content"] = "<extra>";
  tokenizer["added_tokens"].push_back(extra);
  std::ofstream(folder_ / "tokenizer.json") << tokenizer.dump();
  EXPECT_EQ(worst("vocabulary").verdict, Verdict::kBad);
}

TEST_F(CheckupTest, ImageIdMeansAnotherToken) {
  test::edit_file(folder_ / "config.json", "\"vocab_size\"",
                  "\"image_token_index\": 301, \"vocab_size\"");
  const Finding finding = worst("image token");
  EXPECT_EQ(finding.verdict, Verdict::kBad);
  EXPECT_THAT(finding.found, testing::HasSubstr("<|im_start|>"));
}

TEST_F(CheckupTest, GenerationConfig) {
  std::ofstream(folder_ / "generation_config.json") << R"({"repetition_penalty": 1.1})";
  EXPECT_EQ(worst("generation_config.json").verdict, Verdict::kNote);
  std::ofstream(folder_ / "generation_config.json") << "[";
  EXPECT_EQ(worst("generation_config.json").verdict, Verdict::kBad);
}

std::vector<Finding> examine_numbers(const std::string& name, DType dtype,
                                     const std::vector<std::byte>& bytes) {
  const test::TemporaryFolder folder;
  const auto count = static_cast<int64_t>(bytes.size() / dtype_size(dtype));
  const TensorToWrite tensor{name, dtype, {count}, bytes};
  EXPECT_TRUE(write_safetensors(folder / "w.safetensors", std::span(&tensor, 1)).ok());
  return examine_weight_file(folder / "w.safetensors");
}

std::vector<std::byte> halves(std::initializer_list<uint16_t> values) {
  std::vector<std::byte> bytes;
  for (const uint16_t value : values) {
    bytes.push_back(static_cast<std::byte>(value & 0xFF));
    bytes.push_back(static_cast<std::byte>(value >> 8));
  }
  return bytes;
}

TEST(WeightNumbers, AreLookedAt) {
  EXPECT_FALSE(any_bad(examine_numbers("w", DType::kF16, halves({0x3C00, 0xBC00, 0}))));
  EXPECT_TRUE(any_bad(examine_numbers("w", DType::kF16, halves({0x3C00, 0x7C00}))));  // infinity
  EXPECT_TRUE(
      any_bad(examine_numbers("w", DType::kBF16, halves({0x3F80, 0x7FC0}))));  // not a number
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto* bytes = reinterpret_cast<const std::byte*>(&nan);
  EXPECT_TRUE(any_bad(examine_numbers("w", DType::kF32, {bytes, bytes + sizeof nan})));
  const auto clipped = examine_numbers("w", DType::kF16, halves({0x7BFF, 0xFBFF, 0}));
  EXPECT_EQ(clipped.back().check, "half range");
  EXPECT_EQ(clipped.back().verdict, Verdict::kNote);
  EXPECT_TRUE(any_bad(examine_numbers("w.scales", DType::kF16, halves({0, 0, 0x3C00}))));
  EXPECT_FALSE(any_bad(examine_numbers("w.scales", DType::kF16, halves({0xBC00, 0x3C00, 0}))));
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "quantize/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "quantize/export.h"
#include "quantize/export_keys.h"
#include "support/files.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ComparisonTest : public testing::Test {
 protected:
  Checkpoint open(const std::filesystem::path& folder) {
    auto checkpoint = Checkpoint::open(folder);
    EXPECT_TRUE(checkpoint.ok()) << checkpoint.status().message;
    return std::move(*checkpoint);
  }
  void make(const std::string& name, ExportOptions options = {},
            const std::string& model = "hd_tied") {
    const Checkpoint source = open(test::golden("vlm/" + model));
    const auto report = export_quantized(source, folder_ / name, options, pool_);
    ASSERT_TRUE(report.ok()) << report.status().message;
  }

  ThreadPool pool_{2};
  test::TemporaryFolder folder_;
};

TEST_F(ComparisonTest, AModelIsEqualToItself) {
  const Checkpoint model = open(test::golden("vlm/s0_untied"));
  const auto probes = probe_ids(model);
  ASSERT_TRUE(probes.ok());
  const auto same = compare_models(model, model, *probes, pool_);
  ASSERT_TRUE(same.ok()) << same.status().message;
  EXPECT_EQ(same->positions, 3 * 48);
  EXPECT_EQ(same->agreement, 1);
  EXPECT_EQ(same->largest_difference, 0);
  EXPECT_EQ(same->logits_error, 0);
  EXPECT_THAT(same->layers, Each(0));
}

TEST_F(ComparisonTest, MoreBitsAreNearer) {
  const Checkpoint source = open(test::golden("vlm/hd_tied"));
  const auto probes = *probe_ids(source);
  double last = 10;
  for (const int bits : {2, 4, 8}) {
    const std::string name = std::to_string(bits);
    make(name, {Layout::kMlxPatch, *make_recipe("uniform", {bits, 64}, true), Quantizer::kMlx});
    const auto found = compare_models(source, open(folder_ / name), probes, pool_);
    ASSERT_TRUE(found.ok());
    EXPECT_LT(found->logits_error, last);
    EXPECT_GT(found->logits_error, 0);
    EXPECT_EQ(found->layers.size(), 3U);
    EXPECT_EQ(found->layers[static_cast<size_t>(found->worst_layer())],
              *std::max_element(found->layers.begin(), found->layers.end()));
    last = found->logits_error;
  }
}

TEST_F(ComparisonTest, ProbesAreTextWhereThereIsATokenizer) {
  test::make_tiny_model(folder_ / "tiny", "hd_tied");
  const auto with = probe_ids(open(folder_ / "tiny"));
  const auto without = probe_ids(open(test::golden("vlm/hd_tied")));
  ASSERT_TRUE(with.ok() && without.ok());
  EXPECT_EQ(with->size(), 3U);
  EXPECT_NE(*with, *without);
  std::ofstream(folder_ / "tiny/tokenizer.json") << "{";
  EXPECT_FALSE(probe_ids(open(folder_ / "tiny")).ok());
}

TEST_F(ComparisonTest, OtherModelsAreRefused) {
  const auto found = compare_models(open(test::golden("vlm/hd_tied")),
                                    open(test::golden("vlm/s0_untied")), {{1}}, pool_);
  ASSERT_FALSE(found.ok());
  EXPECT_THAT(found.status().message, HasSubstr("layers of width"));
}

TEST_F(ComparisonTest, OthersFindTheirKeys) {
  make("app");
  EXPECT_THAT(*check_export_keys(folder_ / "app", Layout::kMlxPatch), IsEmpty());
  make("untied", {}, "s0_untied");
  EXPECT_THAT(*check_export_keys(folder_ / "untied", Layout::kMlxPatch), IsEmpty());
  make("mixed", {Layout::kMlxPatch, *make_recipe("head8", {4, 64}, true), Quantizer::kMlx});
  EXPECT_THAT(*check_export_keys(folder_ / "mixed", Layout::kMlxPatch),
              ElementsAre(HasSubstr("embed_tokens: has settings of its own")));
  make("vlm", {Layout::kMlxVlm, {}, Quantizer::kMlx});
  EXPECT_THAT(*check_export_keys(folder_ / "vlm", Layout::kMlxVlm),
              ElementsAre(HasSubstr("the tower is not FastViTHD")));
  // One layout is not the other.
  EXPECT_THAT(*check_export_keys(folder_ / "vlm", Layout::kMlxPatch),
              testing::Contains(HasSubstr("multi_modal_projector.linear_0.weight: missing")));
  test::edit_file(folder_ / "app/config.json", "\"bits\": 4", "\"bits\": 8");
  EXPECT_THAT(*check_export_keys(folder_ / "app", Layout::kMlxPatch),
              testing::Contains(HasSubstr("q_proj: [128, 16] with scales [128, 2] is not 8 bits")));
  test::edit_file(folder_ / "app/config.json", "\"mm_hidden_size\"", "\"hidden_mm_size\"");
  EXPECT_THAT(*check_export_keys(folder_ / "app", Layout::kMlxPatch),
              ElementsAre("config.json: no key `mm_hidden_size`"));
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "formats/hashed_checkpoint.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "formats/checkpoint.h"
#include "formats/tensor_lists.h"
#include "support/files.h"
#include "support/test_length.h"

namespace fastvlm {
namespace {

constexpr char kTower[] = "model.vision_tower.vision_tower.model.";

int64_t total(const std::vector<NamedShape>& tensors) {
  int64_t elements = 0;
  for (const NamedShape& tensor : tensors) elements += tensor.elements();
  return elements;
}

int64_t of_type(const std::vector<TensorDeclaration>& tensors, DType dtype) {
  int64_t elements = 0;
  for (const TensorDeclaration& tensor : tensors) {
    if (tensor.dtype == dtype) {
      elements += tensor.bytes() / static_cast<int64_t>(dtype_size(dtype));
    }
  }
  return elements;
}

// docs/MODEL.md, sections 1.4 and 9.
TEST(TensorLists, CountsOfTheRealTowers) {
  const auto hd = fastvit_tensors(fastvit_hd());
  EXPECT_EQ(hd.size(), 629U);
  EXPECT_EQ(total(hd), 125'109'260);
  const auto s0 = fastvit_tensors(mobileclip_s0());
  EXPECT_EQ(s0.size(), 309U);
  EXPECT_EQ(total(s0), 11'368'022);
  EXPECT_EQ(total(projector_tensors(3072, 896)), 3'557'120);
  EXPECT_EQ(total(projector_tensors(1024, 896)), 1'722'112);
}

TEST(TensorLists, NameTheGoldenTowers) {
  FastVitTopology hd{
      {{1, 8}, {2, 16}, {2, 32}, {1, 64, true, true}, {1, 128, true, true}}, 4, true, 48};
  FastVitTopology s0{
      {{1, 16}, {2, 32}, {2, 64, false, false, true}, {1, 128, true, true, true}}, 3, false, 48};
  for (const auto& [model, topology] :
       std::map<std::string, FastVitTopology>{{"hd_tied", hd}, {"s0_untied", s0}}) {
    const auto file = SafetensorsFile::open(test::golden("vlm/" + model + "/model.safetensors"));
    ASSERT_TRUE(file.ok());
    size_t listed = 0;
    for (const NamedShape& tensor : fastvit_tensors(topology)) {
      const TensorView* found = file->find(kTower + tensor.name);
      ASSERT_NE(found, nullptr) << model << " " << tensor.name;
      if (!tensor.name.ends_with("num_batches_tracked")) {
        EXPECT_EQ(found->shape, tensor.shape) << model << " " << tensor.name;
      }
      ++listed;
    }
    const auto stored =
        std::count_if(file->tensors().begin(), file->tensors().end(),
                      [](const auto& entry) { return entry.first.starts_with(kTower); });
    EXPECT_EQ(listed, static_cast<size_t>(stored)) << model;
  }
}

TEST(HashedCheckpoint, CountsOfTheExports) {
  const struct {
    HashedTower tower;
    bool untied;
    int64_t words;
    int64_t halves;
  } cases[] = {{HashedTower::kFastVitHd, false, 62'189'568, 15'620'736},
               {HashedTower::kMobileClipS0, false, 61'960'192, 15'563'392},
               {HashedTower::kFastVitHd, true, 79'206'400, 19'874'944},
               {HashedTower::kMobileClipS0, true, 78'977'024, 19'817'600}};
  for (const auto& [tower, untied, words, halves] : cases) {
    const auto tensors = hashed_checkpoint_tensors({tower, untied, 4, ""});
    EXPECT_EQ(of_type(tensors, DType::kU32), words);
    EXPECT_EQ(of_type(tensors, DType::kF16), halves);
  }
  const auto whole = hashed_checkpoint_tensors({HashedTower::kFastVitHd, false, 32, ""});
  constexpr int64_t kCounters = 44;  // one a block: 2 + 12 + 24 + 4 + 2
  EXPECT_EQ(of_type(whole, DType::kF32), 494'032'768 + 3'557'120 + 125'109'260 - kCounters);
}

// The first values of four tensors, and one hash, as the makers of the reference outputs printed
// them (prng_check.json of the full-size goldens).
TEST(HashedCheckpoint, ValuesOfTheReference) {
  const struct {
    std::string name;
    std::vector<int64_t> shape;
    float expected[4];
  } cases[] = {
      {std::string(kTower) + "patch_embed.0.reparam_conv.weight",
       {96, 3, 3, 3},
       {0.24081528186798096F, 0.27394813299179077F, 0.2057996392250061F, 0.2795547842979431F}},
      {std::string(kTower) + "network.0.0.token_mixer.reparam_conv.weight",
       {96, 1, 3, 3},
       {0.0005326062673702836F, 0.055501990020275116F, -0.15619692206382751F,
        -0.04756069555878639F}},
      {"model.layers.0.self_attn.q_proj.bias",
       {896},
       {0.18164104223251343F, 0.076651930809021F, -0.4524877667427063F, -0.2122558355331421F}},
      {"model.embed_tokens.weight",
       {151936, 896},
       {-0.012870955280959606F, -0.017998183146119118F, 0.0013285219902172685F,
        -0.025155801326036453F}}};
  for (const auto& [name, shape, expected] : cases) {
    const HashedTensor tensor("", name, shape);
    for (int64_t i = 0; i < 4; ++i) EXPECT_EQ(tensor.value(i), expected[i]) << name << " " << i;
    EXPECT_NE(HashedTensor("salt", name, shape).value(0), expected[0]);
  }
  // The folded skip stands at the centre of each kernel.
  const HashedTensor mixer("", "network.0.0.token_mixer.reparam_conv.weight", {96, 1, 3, 3});
  for (const int64_t centre : {4, 13, 22}) {
    EXPECT_GT(mixer.value(centre), 0.8F);
    EXPECT_LT(mixer.value(centre - 1), 0.2F);
  }
}

// Long test: a whole checkpoint of real widths is written and opened again.
TEST(HashedCheckpoint, OpensAsACheckpoint) {
  if (test::test_length() != "long") {
    GTEST_SKIP() << "writes 400 MB; set FASTVLM_TEST_LENGTH=long";
  }
  const test::TemporaryFolder folder;
  ThreadPool pool;
  const Status written =
      write_hashed_checkpoint(folder.path(), {HashedTower::kMobileClipS0, true, 4, ""}, pool);
  ASSERT_TRUE(written.ok()) << written.message;
  const auto checkpoint = Checkpoint::open(folder.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  EXPECT_EQ(checkpoint->layout(), Layout::kMlxPatch);
  EXPECT_TRUE(checkpoint->has_vision());
  EXPECT_TRUE(checkpoint->warnings().empty());
  // Values lie within 0.05 of zero. Bending the step so that one end is exact shrinks the grid by
  // at most 1 / 16, which the other end loses to clipping: 0.1 / 16, and rounding to F16.
  const HashedTensor embedding("", "model.embed_tokens.weight", {151936, 896});
  const auto source = checkpoint->matrix("model.embed_tokens.weight", 151936, 896);
  ASSERT_TRUE(source.ok());
  std::vector<float> row(896);
  row_to_f32(*source, 1234, row.data());
  for (int64_t i = 0; i < 896; ++i) {
    EXPECT_NEAR(row[static_cast<size_t>(i)], embedding.value(1234 * 896 + i), 0.0064F);
  }
}

}  // namespace
}  // namespace fastvlm

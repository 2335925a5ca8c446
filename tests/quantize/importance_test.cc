// SPDX-License-Identifier: Apache-2.0
#include "quantize/importance.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "quantize/export.h"
#include "support/files.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

using testing::Each;
using testing::Gt;
using testing::IsEmpty;

class ImportanceTest : public testing::Test {
 protected:
  ImportanceTest() : source_(*Checkpoint::open(test::golden("vlm/hd_tied"))) {
    const std::vector<int32_t> ids = {5, 3, 17, 4, 4, 9, 30, 2, 11};
    rows_.resize(ids.size() * static_cast<size_t>(model_.config().hidden_size));
    EXPECT_TRUE(model_.embed(ids, rows_.data()).ok());
  }

  // Mean squares as of() gives them: over their own mean.
  static std::vector<float> relative(std::vector<float> sums) {
    float mean = 0;
    for (const float sum : sums) mean += sum / static_cast<float>(sums.size());
    for (float& sum : sums) sum = std::max(sum / mean, 1e-3F);
    return sums;
  }

  ThreadPool pool_{2};
  Checkpoint source_;
  Qwen2 model_ = *Qwen2::load(source_, pool_);
  std::vector<float> rows_;
};

// The first block reads the embedded rows, normed: worked out here by hand.
TEST_F(ImportanceTest, IsTheMeanSquareOfWhatALayerReads) {
  Importance importance;
  ASSERT_TRUE(importance.add(model_, rows_, pool_).ok());
  const auto width = static_cast<size_t>(model_.config().hidden_size);
  std::vector<float> sums(width);
  for (size_t row = 0; row < rows_.size() / width; ++row) {
    double squares = 0;
    for (size_t i = 0; i < width; ++i) squares += std::pow(double{rows_[row * width + i]}, 2);
    const double size = std::sqrt(squares / static_cast<double>(width) +
                                  static_cast<double>(model_.config().rms_norm_eps));
    for (size_t i = 0; i < width; ++i) {
      const double normed =
          double{rows_[row * width + i]} / size * double{model_.layer(0).attention_norm[i]};
      sums[i] += static_cast<float>(normed * normed);
    }
  }
  const std::vector<float> expected = relative(sums);
  for (const char* reader : {"q_proj", "k_proj", "v_proj"}) {
    const std::vector<float> found =
        importance.of(std::string("model.layers.0.self_attn.") + reader + ".weight");
    ASSERT_EQ(found.size(), width);
    for (size_t i = 0; i < width; ++i) EXPECT_NEAR(found[i], expected[i], 1e-4F * expected[i]);
  }
}

TEST_F(ImportanceTest, KnowsEveryMatrixOfTheDecoderAndNoOther) {
  Importance importance;
  ASSERT_TRUE(importance.add(model_, rows_, pool_).ok());
  EXPECT_EQ(importance.rows(), 9);
  int known = 0;
  for (const std::string& name : source_.names()) {
    const std::vector<int64_t> shape = *source_.shape(name);
    const bool decoder = name.starts_with("model.") && shape.size() == 2;
    const std::vector<float> found = importance.of(name);
    if (!decoder) {
      EXPECT_THAT(found, IsEmpty()) << name;
      continue;
    }
    ++known;
    EXPECT_EQ(static_cast<int64_t>(found.size()), shape[1]) << name;
    EXPECT_THAT(found, Each(Gt(0))) << name;
  }
  EXPECT_EQ(known, 7 * model_.config().layers + 1);
}

// What a layer makes of the inputs that were counted is nearer with their importance than without.
TEST_F(ImportanceTest, BringsTheOutputsNearer) {
  Importance importance;
  ASSERT_TRUE(importance.add(model_, rows_, pool_).ok());
  test::TemporaryFolder folder;
  ExportOptions options{Layout::kMlxPatch, *make_recipe("uniform", {3, 64}, true),
                        Quantizer::kSearch};
  const std::string name = "model.layers.1.mlp.down_proj.weight";
  const std::vector<float> weights = *source_.floats(name);
  const std::vector<float> matters = importance.of(name);
  std::vector<double> errors;
  for (const Importance* used :
       {static_cast<const Importance*>(nullptr), &std::as_const(importance)}) {
    options.importance = used;
    const std::filesystem::path out = folder / (used == nullptr ? "alike" : "weighted");
    ASSERT_TRUE(export_quantized(source_, out, options, pool_).ok());
    const std::vector<float> stored = *Checkpoint::open(out)->floats(name);
    double error = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      error += double{matters[i % matters.size()]} * std::pow(double{stored[i] - weights[i]}, 2);
    }
    errors.push_back(error);
  }
  EXPECT_LT(errors[1], 0.95 * errors[0]);
}

}  // namespace
}  // namespace fastvlm

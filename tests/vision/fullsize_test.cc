// SPDX-License-Identifier: Apache-2.0
// Both towers at their real widths and sizes, with weights made by a hash, against the reference
// code's tensors. Needs the shared goldens, 0.5 GB of disk and a few seconds.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <ostream>

#include "formats/hashed_checkpoint.h"
#include "formats/tensor_lists.h"
#include "support/files.h"
#include "support/test_length.h"
#include "vision/projector.h"
#include "vision/tower.h"
#include "vision/vision_goldens.h"

namespace fastvlm {
namespace {

constexpr double kFullSizeTolerance = 5e-4;  // absolute

struct FullSize {
  const char* name;  // of the golden's tensors
  HashedTower tower;
  int64_t side;
  int64_t tokens;
  int64_t width;
  int64_t parameters;
  const char* kind;
  int64_t workspace_bytes;
  double multiply_adds;  // docs/MODEL.md, as the reference counts them

  friend void PrintTo(const FullSize& model, std::ostream* out) { *out << model.kind; }
};

// The hash image: a ramp in each channel and 64 levels of noise.
test::Picture hashed_picture(int64_t side) {
  const HashedTensor noise("", cat("image", side), {3, side, side});
  test::Picture picture{side, side, std::vector<float>(static_cast<size_t>(side * side * 3))};
  for (int64_t y = 0; y < side; ++y) {
    for (int64_t x = 0; x < side; ++x) {
      const int64_t ramps[3] = {x * 255 / (side - 1), y * 255 / (side - 1),
                                (x + y) * 255 / (2 * (side - 1))};
      for (int64_t c = 0; c < 3; ++c) {
        const auto level = static_cast<int64_t>(noise.unit((c * side + y) * side + x) * 64.0);
        const int64_t value = std::min<int64_t>(ramps[c] * 3 / 4 + level, 255);
        picture.pixels[static_cast<size_t>((y * side + x) * 3 + c)] =
            static_cast<float>(value) / 255.0F;
      }
    }
  }
  return picture;
}

// Tower and projector at full size, in front of a decoder of one thin layer.
Status write_model(const FullSize& model, const std::filesystem::path& folder, ThreadPool& pool) {
  std::ofstream(folder / "config.json") << R"({"model_type": "llava_qwen2", "hidden_size": 896,
      "num_hidden_layers": 1, "num_attention_heads": 14, "num_key_value_heads": 2,
      "intermediate_size": 8, "vocab_size": 8, "rope_theta": 1e6, "rms_norm_eps": 1e-6,
      "tie_word_embeddings": true, "mm_hidden_size": )"
                                        << model.width << "}";
  std::vector<TensorDeclaration> list =
      hashed_checkpoint_tensors({.tower = model.tower, .bits = 32, .salt = ""});
  std::erase_if(list, [](const TensorDeclaration& tensor) {
    return tensor.dtype != DType::kF32 || (!tensor.name.starts_with("model.vision_tower.") &&
                                           !tensor.name.starts_with("model.mm_projector."));
  });
  FASTVLM_ASSIGN(const ModelConfig config, read_config(folder));
  for (const NamedShape& tensor : qwen2_tensors(config.language)) {
    list.push_back({tensor.name, DType::kF32, tensor.shape});
  }
  FASTVLM_ASSIGN(auto writer, SafetensorsWriter::create(folder / "model.safetensors", list));
  std::vector<float> values;
  for (const TensorDeclaration& tensor : list) {
    const bool projector = tensor.name.starts_with("model.mm_projector.");
    const HashedTensor hashed("", projector ? cat(model.name, ".", tensor.name) : tensor.name,
                              tensor.shape);
    values.resize(static_cast<size_t>(tensor.bytes()) / sizeof(float));
    pool.parallel_for(static_cast<int64_t>(values.size()), 4096, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(i)] = hashed.value(i);
    });
    FASTVLM_RETURN_IF_ERROR(writer.append(std::as_bytes(std::span(values))));
  }
  return writer.finish();
}

// Four channels of four rows and columns, in the golden's order [channel, row, column].
std::vector<float> cube(const float* values, int64_t width, int64_t channels, int64_t first_channel,
                        int64_t first_row, int64_t first_column) {
  std::vector<float> part;
  for (int64_t c = first_channel; c < first_channel + 4; ++c) {
    for (int64_t y = first_row; y < first_row + 4; ++y) {
      for (int64_t x = first_column; x < first_column + 4; ++x) {
        part.push_back(values[(y * width + x) * channels + c]);
      }
    }
  }
  return part;
}

class FullSizeTower : public testing::TestWithParam<FullSize> {
 protected:
  void SetUp() override {
    const auto path = test::shared("goldens/fullsize/golden_fullsize.safetensors");
    if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
    auto golden = SafetensorsFile::open(path);
    ASSERT_TRUE(golden.ok()) << golden.status().message;
    golden_.emplace(std::move(*golden));
  }

  std::vector<float> reference(const std::string& key) const {
    const std::string name = cat(GetParam().name, "/", key);
    const TensorView* tensor = golden_->find(name);
    EXPECT_NE(tensor, nullptr) << name;
    return tensor == nullptr ? std::vector<float>() : *to_floats(*tensor, name);
  }

  void expect_close_to(const std::string& key, const std::vector<float>& ours) const {
    const std::vector<float> expected = reference(key);
    ASSERT_EQ(ours.size(), expected.size()) << key;
    test::expect_close(ours.data(), expected, kFullSizeTolerance, 0.0, key);
  }

  std::optional<SafetensorsFile> golden_;
  ThreadPool pool_{2};
};

TEST_P(FullSizeTower, StagesTokensAndProjection) {
  const FullSize& model = GetParam();
  if (model.side > 256 && test::test_length() == "fast") GTEST_SKIP() << "not part of the fast run";
  const test::TemporaryFolder folder;
  const Status written = write_model(model, folder.path(), pool_);
  ASSERT_TRUE(written.ok()) << written.message;
  const auto checkpoint = Checkpoint::open(folder.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  const auto tower = VisionTower::load(*checkpoint, pool_);
  ASSERT_TRUE(tower.ok()) << tower.status().message;
  EXPECT_EQ(tower->kind(), model.kind);
  EXPECT_EQ(tower->parameters(), model.parameters);
  EXPECT_EQ(tower->workspace_bytes(model.side, model.side), model.workspace_bytes);
  EXPECT_NEAR(static_cast<double>(tower->multiply_adds(model.side, model.side)),
              model.multiply_adds, 5e-4 * model.multiply_adds);

  const test::Picture picture = hashed_picture(model.side);
  int compared = 0;
  const auto compare = [&](const std::string& name, int64_t height, int64_t width, int64_t channels,
                           const float* values) {
    if (golden_->find(cat(model.name, "/", name, "_corner")) == nullptr) return;
    expect_close_to(name + "_corner", cube(values, width, channels, 0, 0, 0));
    expect_close_to(name + "_center",
                    cube(values, width, channels, channels - 4, height / 2 - 2, width / 2 - 2));
    ++compared;
  };
  const auto staged = tower->encode(picture.pixels.data(), model.side, model.side, pool_, compare);
  ASSERT_TRUE(staged.ok()) << staged.status().message;
  EXPECT_GE(compared, 11);

  const auto tokens = tower->encode(picture.pixels.data(), model.side, model.side, pool_);
  ASSERT_TRUE(tokens.ok()) << tokens.status().message;
  ASSERT_EQ(tokens->count, model.tokens);
  ASSERT_EQ(tokens->width, model.width);
  EXPECT_EQ(tokens->values, staged->values);
  expect_close_to("tokens_first4_all_channels",
                  {tokens->values.begin(), tokens->values.begin() + 4 * model.width});
  std::vector<float> sparse;
  for (size_t i = 0; i < tokens->values.size(); i += 64) sparse.push_back(tokens->values[i]);
  expect_close_to("tokens_all_step64_channels", sparse);

  const auto projector = Projector::load(*checkpoint, pool_);
  ASSERT_TRUE(projector.ok()) << projector.status().message;
  const Tokens projected = projector->project(*tokens, pool_);
  expect_close_to("projected_first4",
                  {projected.values.begin(), projected.values.begin() + 4 * projected.width});
}

INSTANTIATE_TEST_SUITE_P(
    Models, FullSizeTower,
    testing::Values(FullSize{"hd", HashedTower::kFastVitHd, 1024, 256, 3072, 122'714'208,
                             "FastViTHD topology, 5 stages 2-12-24-4-2, "
                             "widths 96-192-384-768-1536",
                             50'331'648, 243.35e9},
                    FullSize{"s0", HashedTower::kMobileClipS0, 256, 64, 1024, 10'832'704,
                             "MobileCLIP-S0 topology, 4 stages 2-6-10-2, widths 64-128-256-512",
                             2'097'152, 2.385e9}),
    [](const auto& model) { return std::string(model.param.name); });

}  // namespace
}  // namespace fastvlm

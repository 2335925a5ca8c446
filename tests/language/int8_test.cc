// SPDX-License-Identifier: Apache-2.0
// Products with activations in 8 bits against the same model in f32 (docs/ACCURACY.md): on the
// goldens' random models, and on a trained one whose weights are quantised here.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "formats/affine.h"
#include "language/decoding.h"
#include "models.h"

namespace fastvlm {
namespace {

// Two models with the same weights.
struct Pair {
  Qwen2 exact, fast;

  Pair(const std::filesystem::path& folder, ThreadPool& pool)
      : exact(test::load_qwen2(folder, pool)),
        fast(test::load_qwen2(folder, pool, Arithmetic::kInt8)) {}
};

struct Agreement {
  double error = 0;  // |logits - exact logits| / |exact logits|
  int64_t same = 0;  // positions where the likeliest token is the same
  int64_t positions = 0;
};

int64_t likeliest(std::span<const float> logits) {
  return std::max_element(logits.begin(), logits.end()) - logits.begin();
}

Agreement compare(const char* name, const Pair& models, const std::vector<int32_t>& ids,
                  ThreadPool& pool) {
  const auto exact = test::logits_of(models.exact, ids, Qwen2::Logits::kAll, pool);
  const auto fast = test::logits_of(models.fast, ids, Qwen2::Logits::kAll, pool);
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const auto value = static_cast<double>(exact[i]);
    const double delta = static_cast<double>(fast[i]) - value;
    difference += delta * delta;
    norm += value * value;
  }
  Agreement agreement{std::sqrt(difference / norm), 0, static_cast<int64_t>(ids.size())};
  const auto vocab = static_cast<size_t>(models.exact.config().vocab_size);
  for (size_t i = 0; i < exact.size(); i += vocab) {
    agreement.same += likeliest(std::span(exact).subspan(i, vocab)) ==
                      likeliest(std::span(fast).subspan(i, vocab));
  }
  std::printf("%s: relative error of logits %.4f, likeliest token the same at %d of %d positions\n",
              name, agreement.error, static_cast<int>(agreement.same),
              static_cast<int>(agreement.positions));
  return agreement;
}

class Int8Golden : public testing::TestWithParam<const char*> {
 protected:
  Int8Golden() {
    const std::filesystem::path from = test::golden(std::string("vlm/") + GetParam());
    std::filesystem::copy(from / "mlx_4bit.safetensors", folder_ / "model.safetensors");
    std::filesystem::copy(from / "mlx_config.json", folder_ / "config.json");
  }

  std::vector<int32_t> many_ids(const Qwen2& model) const {
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < 300; ++i) {
      ids.push_back(i * 37 % static_cast<int32_t>(model.config().vocab_size));
    }
    return ids;
  }

  test::TemporaryFolder folder_;
  ThreadPool pool_{2};
};

TEST_P(Int8Golden, LogitsStayNear) {
  const Pair models(folder_.path(), pool_);
  const Agreement found = compare(GetParam(), models, many_ids(models.exact), pool_);
  EXPECT_LT(found.error, 0.08);  // random weights: rounding errors are amplified
  EXPECT_GE(found.same, found.positions * 9 / 10);
}

// What a row gives does not depend on the rows that come with it, nor on the number of threads.
TEST_P(Int8Golden, TokenByTokenIsTheSameAsAtOnce) {
  const Qwen2 model = test::load_qwen2(folder_.path(), pool_, Arithmetic::kInt8);
  const std::vector<int32_t> ids = many_ids(model);
  const auto together = test::logits_of(model, ids, Qwen2::Logits::kAll, pool_);
  ThreadPool alone(1);
  EXPECT_EQ(test::logits_of(model, ids, Qwen2::Logits::kAll, alone), together);
  KvCache cache(model.config(), static_cast<int64_t>(ids.size()));
  std::vector<float> logits;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto row = test::embedded(model, {ids[i]});
    ASSERT_TRUE(model.forward(cache, row.data(), 1, Qwen2::Logits::kLast, logits, pool_).ok());
    ASSERT_EQ(test::largest_difference(
                  logits, std::span(together).subspan(i * logits.size(), logits.size())),
              0.0F)
        << "token " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Int8Golden, testing::Values("hd_tied", "s0_untied"),
                         [](const auto& model) { return std::string(model.param); });

// The trained model of tests/goldens/stories as an MLX export with `bits` a weight, groups of 32;
// matrices of other widths stay f32.
class QuantisedStories {
 public:
  explicit QuantisedStories(int bits) : bits_(bits) {
    const auto file = SafetensorsFile::open(test::golden("stories") / "model.safetensors");
    if (!file.ok()) throw std::runtime_error(file.status().message);
    for (const auto& [name, tensor] : file->tensors()) add(name, tensor);
    std::vector<TensorToWrite> tensors;
    for (const Stored& s : stored_) tensors.push_back({s.name, s.dtype, s.shape, s.bytes});
    const Status written = write_safetensors(folder_ / "model.safetensors", tensors);
    if (!written.ok()) throw std::runtime_error(written.message);
    std::ifstream in(test::golden("stories") / "config.json");
    auto config = nlohmann::json::parse(in);
    config["quantization"] = {{"group_size", kGroup}, {"bits", bits}};
    std::ofstream(folder_ / "config.json") << config.dump();
  }

  const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  static constexpr int64_t kGroup = 32;
  struct Stored {
    std::string name;
    DType dtype;
    std::vector<int64_t> shape;
    std::vector<std::byte> bytes;
  };

  template <typename T>
  void store(const std::string& name, DType dtype, std::vector<int64_t> shape,
             const std::vector<T>& values) {
    std::vector<std::byte> bytes(values.size() * sizeof(T));
    std::memcpy(bytes.data(), values.data(), bytes.size());
    stored_.push_back({"language_model." + name, dtype, std::move(shape), std::move(bytes)});
  }

  void add(const std::string& name, const TensorView& tensor) {
    const auto values = to_floats(tensor, name);
    if (!values.ok()) throw std::runtime_error(values.status().message);
    if (tensor.shape.size() != 2 || tensor.shape[1] % kGroup != 0) {
      return store(name, DType::kF32, tensor.shape, *values);
    }
    const int64_t rows = tensor.shape[0];
    const int64_t cols = tensor.shape[1];
    std::vector<uint32_t> words(static_cast<size_t>(rows * cols * bits_ / 32));
    std::vector<float> scales(static_cast<size_t>(rows * cols / kGroup));
    std::vector<float> biases(scales.size());
    for (int64_t r = 0; r < rows; ++r) {
      quantize_affine_row(values->data() + r * cols, cols, bits_, kGroup,
                          words.data() + r * cols * bits_ / 32, scales.data() + r * cols / kGroup,
                          biases.data() + r * cols / kGroup);
    }
    const std::string stem = name.substr(0, name.size() - std::string("weight").size());
    store(name, DType::kU32, {rows, cols * bits_ / 32}, words);
    store(stem + "scales", DType::kF32, {rows, cols / kGroup}, scales);
    store(stem + "biases", DType::kF32, {rows, cols / kGroup}, biases);
  }

  int bits_;
  test::TemporaryFolder folder_;
  std::vector<Stored> stored_;
};

class Int8Stories : public testing::TestWithParam<int> {};

TEST_P(Int8Stories, TellsNearlyTheSameStory) {
  ThreadPool pool(2);
  const QuantisedStories export_folder(GetParam());
  const Pair models(export_folder.folder(), pool);
  std::ifstream file(test::golden("stories") / "greedy_reference.json");
  const auto story = nlohmann::json::parse(file)["greedy_from_bos_ids"].get<std::vector<int32_t>>();
  const Agreement found =
      compare(GetParam() == 4 ? "stories, 4 bits" : "stories, 8 bits", models, story, pool);
  EXPECT_LT(found.error, 0.02);
  EXPECT_GE(found.same, found.positions * 19 / 20);
}

INSTANTIATE_TEST_SUITE_P(Bits, Int8Stories, testing::Values(4, 8),
                         [](const auto& bits) { return cat("of", bits.param); });

}  // namespace
}  // namespace fastvlm

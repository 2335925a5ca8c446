// SPDX-License-Identifier: Apache-2.0
// The decoder against Apple's and Hugging Face's classes (tests/goldens/vlm) and a trained model
// (tests/goldens/stories). Tolerances as in the goldens' README.
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "kernels/elementwise.h"
#include "language/decoding.h"
#include "models.h"

namespace fastvlm {
namespace {

constexpr float kLogitsTolerance = 2e-4F;
constexpr float kLogitsToleranceAtPosition1000 = 5e-4F;

class GoldenFile {
 public:
  explicit GoldenFile(const std::filesystem::path& path) : file_(SafetensorsFile::open(path)) {
    if (!file_.ok()) throw std::runtime_error(file_.status().message);
  }
  std::vector<float> floats(const std::string& name) const {
    const TensorView* tensor = file_->find(name);
    if (tensor == nullptr) throw std::runtime_error("no tensor " + name);
    auto values = to_floats(*tensor, name);
    if (!values.ok()) throw std::runtime_error(values.status().message);
    return std::move(*values);
  }
  std::vector<int32_t> ids(const std::string& name) const {
    const TensorView* tensor = file_->find(name);
    if (tensor == nullptr || tensor->dtype != DType::kI64)
      throw std::runtime_error("no ids " + name);
    std::vector<int64_t> wide(static_cast<size_t>(tensor->elements()));
    std::memcpy(wide.data(), tensor->bytes.data(), tensor->bytes.size());
    return {wide.begin(), wide.end()};
  }

 private:
  Result<SafetensorsFile> file_;
};

DecodingOptions greedy(size_t max_tokens) {
  DecodingOptions options;
  options.max_tokens = static_cast<int64_t>(max_tokens);
  return options;
}

std::vector<int32_t> greedy_ids(const Qwen2& model, const std::vector<float>& rows,
                                size_t max_tokens, ThreadPool& pool) {
  const auto n = static_cast<int64_t>(rows.size()) / model.config().hidden_size;
  KvCache cache(model.config(), n + static_cast<int64_t>(max_tokens));
  const auto answer = decode(model, cache, rows.data(), n, greedy(max_tokens), pool);
  EXPECT_TRUE(answer.ok()) << answer.status().message;
  return answer.ok() ? answer->ids : std::vector<int32_t>{};
}

class Qwen2Golden : public testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path folder() const { return test::golden(std::string("vlm/") + GetParam()); }
  ThreadPool pool_{2};
};

TEST_P(Qwen2Golden, ImagePromptMatchesLayerByLayer) {
  const Qwen2 model = test::load_qwen2(folder(), pool_);
  const GoldenFile golden(folder() / "golden_lm.safetensors");
  const std::vector<float> rows = golden.floats("mm/inputs_embeds");
  const auto n = static_cast<int64_t>(rows.size()) / model.config().hidden_size;
  KvCache cache(model.config(), n);
  std::vector<float> logits;
  int64_t layers_seen = 0;
  const Status status = model.forward(
      cache, rows.data(), n, Qwen2::Logits::kAll, logits, pool_,
      {.hidden = [&](int64_t layer, const float* hidden, int64_t count, int64_t width) {
        const std::vector<float> want = golden.floats(cat("mm/hidden_", layer));
        EXPECT_LE(test::largest_difference({hidden, static_cast<size_t>(count * width)}, want),
                  kLogitsTolerance)
            << "hidden " << layer;
        EXPECT_EQ(layer, layers_seen++);
      }});
  ASSERT_TRUE(status.ok()) << status.message;
  EXPECT_EQ(layers_seen, model.config().layers + 1);
  EXPECT_LE(test::largest_difference(logits, golden.floats("mm/logits")), kLogitsTolerance);
}

TEST_P(Qwen2Golden, TextPromptMatches) {
  const Qwen2 model = test::load_qwen2(folder(), pool_);
  const GoldenFile golden(folder() / "golden_lm.safetensors");
  const std::vector<int32_t> ids = golden.ids("text/input_ids");
  const auto logits = test::logits_of(model, ids, Qwen2::Logits::kAll, pool_);
  EXPECT_LE(test::largest_difference(logits, golden.floats("text/logits")), kLogitsTolerance);
}

TEST_P(Qwen2Golden, PositionsMayStartAtAThousand) {
  const Qwen2 model = test::load_qwen2(folder(), pool_);
  const GoldenFile golden(folder() / "golden_lm.safetensors");
  const std::vector<int32_t> ids = golden.ids("text/input_ids");
  const auto n = static_cast<int64_t>(ids.size());
  KvCache cache(model.config(), n, 1000);
  std::vector<float> logits;
  ASSERT_TRUE(
      model
          .forward(cache, test::embedded(model, ids).data(), n, Qwen2::Logits::kLast, logits, pool_)
          .ok());
  EXPECT_LE(test::largest_difference(logits, golden.floats("text_pos1000/logits_last")),
            kLogitsToleranceAtPosition1000);
}

TEST_P(Qwen2Golden, GreedyAnswersAreEqual) {
  const Qwen2 model = test::load_qwen2(folder(), pool_);
  const GoldenFile golden(folder() / "golden_lm.safetensors");
  EXPECT_EQ(greedy_ids(model, golden.floats("mm/inputs_embeds"), 16, pool_),
            golden.ids("mm/greedy_ids"));
  const auto text = test::embedded(model, golden.ids("text/input_ids"));
  EXPECT_EQ(greedy_ids(model, text, 16, pool_), golden.ids("text/greedy_ids"));
}

TEST_P(Qwen2Golden, EveryStepOfTheGreedyAnswerMatches) {
  const Qwen2 model = test::load_qwen2(folder(), pool_);
  const GoldenFile golden(folder() / "golden_lm.safetensors");
  const std::vector<float> rows = golden.floats("mm/inputs_embeds");
  const std::vector<int32_t> ids = golden.ids("mm/greedy_ids");
  const std::vector<float> want = golden.floats("mm/greedy_step_logits");
  const auto n = static_cast<int64_t>(rows.size()) / model.config().hidden_size;
  const auto vocab = static_cast<size_t>(model.config().vocab_size);
  KvCache cache(model.config(), n + static_cast<int64_t>(ids.size()));
  std::vector<float> logits;
  ASSERT_TRUE(model.forward(cache, rows.data(), n, Qwen2::Logits::kLast, logits, pool_).ok());
  for (size_t step = 0; step < ids.size(); ++step) {
    EXPECT_LE(test::largest_difference(logits, std::span(want).subspan(step * vocab, vocab)),
              kLogitsTolerance)
        << "step " << step;
    const auto row = test::embedded(model, {ids[step]});
    ASSERT_TRUE(model.forward(cache, row.data(), 1, Qwen2::Logits::kLast, logits, pool_).ok());
  }
}

TEST_P(Qwen2Golden, FourBitExportMatches) {
  const test::TemporaryFolder export_folder;
  std::filesystem::copy(folder() / "mlx_4bit.safetensors", export_folder / "model.safetensors");
  std::filesystem::copy(folder() / "mlx_config.json", export_folder / "config.json");
  const Qwen2 model = test::load_qwen2(export_folder.path(), pool_);
  const GoldenFile golden(folder() / "golden_mlx_4bit.safetensors");

  const auto text = golden.ids("text_input_ids");
  EXPECT_LE(test::largest_difference(test::logits_of(model, text, Qwen2::Logits::kAll, pool_),
                                     golden.floats("text_logits")),
            kLogitsTolerance);

  const std::vector<int32_t> ids = golden.ids("input_ids");
  const std::vector<float> image = golden.floats("projected");
  std::vector<float> rows = test::embedded(model, ids);
  const auto hidden = static_cast<size_t>(model.config().hidden_size);
  const auto image_id = static_cast<int32_t>(model.config().vocab_size - 1);
  const auto first = static_cast<size_t>(std::find(ids.begin(), ids.end(), image_id) - ids.begin());
  ASSERT_EQ(std::count(ids.begin(), ids.end(), image_id) * static_cast<int64_t>(hidden),
            static_cast<int64_t>(image.size()));
  std::copy(image.begin(), image.end(), rows.begin() + static_cast<std::ptrdiff_t>(first * hidden));
  KvCache cache(model.config(), static_cast<int64_t>(ids.size()));
  std::vector<float> logits;
  ASSERT_TRUE(
      model.forward(cache, rows.data(), cache.capacity(), Qwen2::Logits::kAll, logits, pool_).ok());
  EXPECT_LE(test::largest_difference(logits, golden.floats("logits")), kLogitsTolerance);
  EXPECT_EQ(greedy_ids(model, rows, 16, pool_), golden.ids("greedy_ids"));
}

INSTANTIATE_TEST_SUITE_P(Models, Qwen2Golden, testing::Values("hd_tied", "s0_untied"),
                         [](const auto& model) { return std::string(model.param); });

TEST(Qwen2Stories, TellsTheReferenceStory) {
  ThreadPool pool(2);
  const Qwen2 model = test::load_qwen2(test::golden("stories"), pool);
  std::ifstream file(test::golden("stories") / "greedy_reference.json");
  const auto reference = nlohmann::json::parse(file);
  const auto story = reference["greedy_from_bos_ids"].get<std::vector<int32_t>>();
  const auto start = test::embedded(model, {story[0]});
  EXPECT_EQ(greedy_ids(model, start, story.size() - 1, pool),
            std::vector<int32_t>(story.begin() + 1, story.end()));
}

}  // namespace
}  // namespace fastvlm

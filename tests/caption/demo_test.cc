// SPDX-License-Identifier: Apache-2.0
// The bundled demo model, against PyTorch on the same weights (tests/goldens/demo), and its
// captions of the example pictures.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "caption/engine.h"
#include "image/decode.h"
#include "language/decoding.h"
#include "support/files.h"

namespace fastvlm {
namespace {

constexpr int64_t kSide = 256;  // of the tower's input

std::filesystem::path repository(const std::string& name) {
  return std::filesystem::path(FASTVLM_SOURCE_DIR) / name;
}

class DemoTest : public testing::Test {
 protected:
  void SetUp() override {
    EngineOptions options;
    options.model = repository("models/demo");
    options.language = arithmetic_;
    const auto engine = Engine::load(options, pool_);
    ASSERT_TRUE(engine.ok()) << engine.status().message;
    engine_ = *engine;
  }

  ThreadPool pool_;
  Arithmetic arithmetic_ = EngineOptions().language;
  std::shared_ptr<const Engine> engine_;
};

class DemoGoldens : public DemoTest, public testing::WithParamInterface<const char*> {
 protected:
  DemoGoldens() { arithmetic_ = Arithmetic::kF32; }
  std::vector<float> floats(const std::string& name) const {
    const std::string key = cat(GetParam(), "/", name);
    const TensorView* tensor = goldens_->find(key);
    EXPECT_NE(tensor, nullptr) << key;
    return tensor == nullptr ? std::vector<float>() : *to_floats(*tensor, key);
  }
  std::vector<TokenId> ids(const std::string& name) const {
    const TensorView* tensor = goldens_->find(cat(GetParam(), "/", name));
    EXPECT_NE(tensor, nullptr) << name;
    std::vector<TokenId> out;
    if (tensor == nullptr) return out;
    for (size_t at = 0; at < tensor->bytes.size(); at += sizeof(int64_t)) {
      int64_t id = 0;
      std::memcpy(&id, tensor->bytes.data() + at, sizeof id);
      out.push_back(static_cast<TokenId>(id));
    }
    return out;
  }
  static void expect_near(const std::vector<float>& found, const std::vector<float>& expected,
                          float tolerance) {
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i)
      ASSERT_NEAR(found[i], expected[i], tolerance) << "element " << i;
  }

  Result<SafetensorsFile> goldens_ =
      SafetensorsFile::open(test::golden("demo/golden_demo.safetensors"));
};

TEST_P(DemoGoldens, PixelsToGreedyIds) {
  ASSERT_TRUE(goldens_.ok()) << goldens_.status().message;
  const auto encoder = *engine_->encoder(pool_);
  const auto language = *engine_->language(pool_);
  const TensorView* planes = goldens_->find(cat(GetParam(), "/pixels_u8"));
  ASSERT_NE(planes, nullptr);
  ASSERT_EQ(planes->shape, (std::vector<int64_t>{3, kSide, kSide}));
  std::vector<float> pixels(planes->bytes.size());  // [kSide, kSide, 3]
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = std::to_integer<uint8_t>(planes->bytes[i % 3 * kSide * kSide + i / 3]) / 255.0F;
  const auto tokens = encoder->tower.encode(pixels.data(), kSide, kSide, pool_);
  ASSERT_TRUE(tokens.ok()) << tokens.status().message;
  const Tokens projected = encoder->projector.project(*tokens, pool_);
  expect_near({projected.values.begin(), projected.values.end()}, floats("projected"), 1e-3F);

  const std::vector<TokenId> prompt = ids("prompt_ids");
  const auto rows = splice(*language, prompt, projected);
  ASSERT_TRUE(rows.ok()) << rows.status().message;
  const int64_t length = static_cast<int64_t>(rows->size()) / projected.width;
  const std::vector<TokenId> greedy = ids("greedy_ids");
  KvCache cache(language->config(), length + static_cast<int64_t>(greedy.size()));
  std::vector<float> logits;
  ASSERT_TRUE(
      language->forward(cache, rows->data(), length, Qwen2::Logits::kLast, logits, pool_).ok());
  expect_near(logits, floats("last_logits"), 5e-3F);

  cache.truncate(0);
  DecodingOptions decoding;
  decoding.max_tokens = static_cast<int64_t>(greedy.size());
  const auto answer = decode(*language, cache, rows->data(), length, decoding, pool_);
  ASSERT_TRUE(answer.ok()) << answer.status().message;
  EXPECT_EQ(answer->ids, greedy);
}

INSTANTIATE_TEST_SUITE_P(Examples, DemoGoldens,
                         testing::Values("giraffe-desert", "pizza-kitchen", "truck-snow"),
                         [](const auto& picture) {
                           std::string name = picture.param;
                           std::erase(name, '-');
                           return name;
                         });

// The examples whose main object the model names wrongly; the rest must stay right.
constexpr std::array<std::string_view, 6> kMisnamed{"cakes-bedroom", "fish-underwater",
                                                    "pizza-kitchen", "roosters-farm-sunset",
                                                    "truck-snow",    "umbrellas-park-sunset"};

TEST_F(DemoTest, ExamplesHaveSevenSectionsAndNameTheirMainObject) {
  int pictures = 0;
  for (const auto& entry : std::filesystem::directory_iterator(repository("examples"))) {
    if (entry.path().extension() != ".jpg") continue;
    ++pictures;
    const std::string name = entry.path().stem().string();
    const auto image = load_image(entry.path());
    ASSERT_TRUE(image.ok()) << image.status().message;
    Session session(engine_, pool_);
    const auto caption = session.caption(*image, {});
    ASSERT_TRUE(caption.ok()) << caption.status().message;
    // A model that writes the headers itself writes the same text.
    CaptionRequest free;
    free.free = true;
    const auto by_itself = session.caption(*image, free);
    ASSERT_TRUE(by_itself.ok()) << by_itself.status().message;
    EXPECT_EQ(caption->text, by_itself->text);
    EXPECT_EQ(by_itself->finish, FinishReason::kStop) << name;
    EXPECT_EQ(caption->finish, FinishReason::kStop) << name;
    for (const auto& section : caption->sections)
      EXPECT_TRUE(section.text && !section.text->empty()) << name;
    auto description = entry.path();
    const auto text = read_text_file(description.replace_extension(".json"));
    ASSERT_TRUE(text.ok()) << text.status().message;
    std::string main = nlohmann::json::parse(*text).at("main");
    if (main.ends_with('s')) main.pop_back();  // the kind is asked for, not the count
    const std::string focus = caption->sections[0].text.value_or("");
    const bool named = focus.find(main) != std::string::npos;
    const bool misnamed = std::ranges::find(kMisnamed, name) != kMisnamed.end();
    EXPECT_NE(named, misnamed) << name << ": " << focus;
  }
  EXPECT_EQ(pictures, 12);
}

}  // namespace
}  // namespace fastvlm

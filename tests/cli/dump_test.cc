// SPDX-License-Identifier: Apache-2.0
// The program against the reference, stage by stage: tests/goldens/vlm through `fastvlm dump`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>

#include "base/strings.h"
#include "cli/program.h"
#include "formats/safetensors.h"
#include "support/files.h"

namespace fastvlm {
namespace {

struct Tolerance {
  float absolute;
  float relative;
};
constexpr Tolerance kVision{2e-4F, 2e-4F};
constexpr Tolerance kHidden{2e-4F, 2e-4F};  // the residual stream is not at unit scale
constexpr Tolerance kProjected{1e-4F, 0};
constexpr Tolerance kLogits{2e-4F, 0};

std::vector<int64_t> integers(const TensorView& tensor) {
  std::vector<int64_t> values(tensor.bytes.size() / sizeof(int64_t));
  std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
  return values;
}

class DumpTest : public testing::TestWithParam<const char*> {
 protected:
  std::filesystem::path model() const { return test::golden("vlm") / GetParam(); }
  SafetensorsFile open_golden(const std::string& name) const {
    auto file = SafetensorsFile::open(model() / name);
    EXPECT_TRUE(file.ok()) << file.status().message;
    return *std::move(file);
  }
  // Runs dump and opens what it wrote.
  SafetensorsFile dump(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"dump", "--out", out_.string(), "--threads", "2"});
    const test::Run run = test::fastvlm(arguments);
    EXPECT_EQ(run.code, 0) << run.err;
    EXPECT_EQ(run.out, "");
    auto file = SafetensorsFile::open(out_);
    EXPECT_TRUE(file.ok()) << file.status().message;
    return *std::move(file);
  }
  static void expect_equal(const TensorView* found, const TensorView& wanted,
                           const std::string& name, Tolerance tolerance) {
    ASSERT_NE(found, nullptr) << name;
    ASSERT_EQ(found->shape, wanted.shape) << name;
    const auto a = to_floats(*found, name);
    const auto b = to_floats(wanted, name);
    ASSERT_TRUE(a.ok() && b.ok());
    for (size_t i = 0; i < a->size(); ++i) {
      ASSERT_NEAR((*a)[i], (*b)[i], tolerance.absolute + tolerance.relative * std::fabs((*b)[i]))
          << name << " at " << i;
    }
  }

  test::TemporaryFolder folder_;
  std::filesystem::path out_ = folder_ / "out.safetensors";
};

std::string joined(const std::vector<int64_t>& ids) {
  const std::string text = bracketed(ids);
  return text.substr(1, text.size() - 2);
}

TEST_P(DumpTest, VisionStages) {
  const SafetensorsFile golden = open_golden("golden_vision.safetensors");
  int stages = 0;
  for (const auto& [key, pixels] : golden.tensors()) {
    if (!key.ends_with("/pixels_u8")) continue;
    const std::string size = key.substr(0, key.find('/') + 1);
    const SafetensorsFile out =
        dump({"--model", model(), "--pixels", golden.path(), "--pixels-key", key, "--ids=5,-200"});
    const TensorView* fed = out.find("pixels_u8");
    ASSERT_NE(fed, nullptr);
    EXPECT_TRUE(
        std::equal(fed->bytes.begin(), fed->bytes.end(), pixels.bytes.begin(), pixels.bytes.end()));
    for (const auto& [name, wanted] : golden.tensors()) {
      if (!name.starts_with(size)) continue;
      const std::string stage = name.substr(size.size());
      // Not outputs of the tower's forward pass in this form.
      if (stage == "pixels_u8" || stage == "head_logits" || stage == "patch_embed.0_stride4" ||
          stage == "tokens_train_form")
        continue;
      expect_equal(out.find(stage), wanted, stage, stage == "projected" ? kProjected : kVision);
      ++stages;
    }
  }
  EXPECT_GT(stages, 25);
}

TEST_P(DumpTest, TrainingFormTower) {
  const SafetensorsFile golden = open_golden("golden_vision.safetensors");
  const SafetensorsFile out =
      dump({"--model", model(), "--vision-tower", model() / "vision_train_form.safetensors",
            "--pixels", golden.path(), "--pixels-key", "256x256/pixels_u8", "--only", "vision"});
  expect_equal(out.find("tokens"), *golden.find("256x256/tokens_train_form"), "tokens", kVision);
  EXPECT_EQ(out.find("pixels_u8"), nullptr);
}

TEST_P(DumpTest, LanguageStages) {
  const SafetensorsFile golden = open_golden("golden_lm.safetensors");
  const SafetensorsFile vision = open_golden("golden_vision.safetensors");
  const std::string ids = joined(integers(*golden.find("mm/input_ids")));
  const SafetensorsFile out =
      dump({"--model", model(), "--pixels", vision.path(), "--pixels-key", "256x256/pixels_u8",
            "--ids=" + ids, "--greedy", "16", "--only", "language"});
  EXPECT_EQ(out.find("tokens"), nullptr);
  int stages = 0;
  for (const auto& [name, wanted] : golden.tensors()) {
    if (!name.starts_with("mm/") || wanted.dtype != DType::kF32 || name == "mm/greedy_step_logits")
      continue;
    expect_equal(out.find(name.substr(3)), wanted, name, name == "mm/logits" ? kLogits : kHidden);
    ++stages;
  }
  EXPECT_GE(stages, 5);
  EXPECT_EQ(integers(*out.find("greedy_ids")), integers(*golden.find("mm/greedy_ids")));
}

TEST_P(DumpTest, TextWithoutPicture) {
  const SafetensorsFile golden = open_golden("golden_lm.safetensors");
  const std::string ids = joined(integers(*golden.find("text/input_ids")));
  const SafetensorsFile out = dump({"--model", model(), "--ids=" + ids, "--greedy", "16"});
  expect_equal(out.find("logits"), *golden.find("text/logits"), "logits", kLogits);
  EXPECT_EQ(integers(*out.find("greedy_ids")), integers(*golden.find("text/greedy_ids")));
}

TEST_P(DumpTest, FourBitExportFedWithTokens) {
  const std::filesystem::path exported = folder_ / "export";
  std::filesystem::create_directory(exported);
  std::filesystem::copy_file(model() / "mlx_config.json", exported / "config.json");
  std::filesystem::copy_file(model() / "mlx_4bit.safetensors", exported / "model.safetensors");
  const SafetensorsFile golden = open_golden("golden_mlx_4bit.safetensors");
  // The image id stands once a token there; here one -200 stands for all of them.
  std::vector<int64_t> ids = integers(*golden.find("input_ids"));
  const int64_t image_id = 511;
  const auto first = std::find(ids.begin(), ids.end(), image_id);
  ASSERT_NE(first, ids.end());
  *first = -200;
  ids.erase(std::remove(ids.begin(), ids.end(), image_id), ids.end());
  const SafetensorsFile out = dump({"--model", exported, "--tokens", golden.path(), "--tokens-key",
                                    "image_features", "--ids=" + joined(ids), "--greedy", "16"});
  expect_equal(out.find("projected"), *golden.find("projected"), "projected", kProjected);
  expect_equal(out.find("logits"), *golden.find("logits"), "logits", kLogits);
  EXPECT_EQ(integers(*out.find("greedy_ids")), integers(*golden.find("greedy_ids")));
}

TEST_P(DumpTest, SameBytesWhateverTheThreads) {
  const SafetensorsFile vision = open_golden("golden_vision.safetensors");
  std::string files[2];
  for (int i = 0; i < 2; ++i) {
    const auto out = folder_ / ("t" + std::to_string(i));
    const test::Run run = test::fastvlm({"dump", "--out", out, "--model", model(), "--pixels",
                                         vision.path(), "--pixels-key", "128x128/pixels_u8",
                                         "--ids=5,-200,6", "--threads", i == 0 ? "1" : "3"});
    ASSERT_EQ(run.code, 0) << run.err;
    std::ifstream in(out, std::ios::binary);
    files[i].assign(std::istreambuf_iterator<char>(in), {});
  }
  EXPECT_FALSE(files[0].empty());
  EXPECT_TRUE(files[0] == files[1]);
}

INSTANTIATE_TEST_SUITE_P(Models, DumpTest, testing::Values("hd_tied", "s0_untied"));

TEST(DumpPixels, NeedNoModel) {
  const test::TemporaryFolder folder;
  const std::string out = folder / "p.safetensors";
  const test::Run run =
      test::fastvlm({"dump", "--only", "pixels", "--image",
                     test::golden("preprocess/landscape.png"), "--image-size", "256", "--out", out},
                    {.environment = {{"FASTVLM_MODEL", "/nonexistent"}}});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto file = SafetensorsFile::open(out);
  ASSERT_TRUE(file.ok());
  ASSERT_NE(file->find("pixels_u8"), nullptr);
  EXPECT_THAT(file->find("pixels_u8")->shape, testing::ElementsAre(3, 256, 256));
  EXPECT_EQ(file->tensors().size(), 1U);
}

TEST(DumpErrors, SayWhatIsWrong) {
  const test::TemporaryFolder folder;
  const std::string model = test::golden("vlm/hd_tied");
  const std::string pixels = model + "/golden_vision.safetensors";
  const std::string out = folder / "o";
  struct Case {
    std::vector<std::string> arguments;
    int code;
    const char* message;
  };
  const Case cases[] = {
      {{"--model", model, "--out", out}, 1, "nothing to run: no picture is given"},
      {{"--model", model, "--out", out, "--ids=1,x"}, 1, "--ids: expected a token id, found \"x\""},
      {{"--model", model, "--out", out, "--ids=1,-200"},
       1,
       "the prompt has an image, but none is given"},
      {{"--model", model, "--out", out, "--ids=1,512"}, 2, "512"},
      {{"--model", model, "--out", out, "--pixels", pixels, "--pixels-key", "none"},
       2,
       "expected a tensor \"none\""},
      {{"--model", model, "--out", out, "--pixels", pixels, "--pixels-key", "128x128/tokens"},
       2,
       "expected U8 of rank 3"},
      {{"--model", model, "--out", out, "--pixels", pixels}, 1, "--pixels-key"},
      {{"--model", model, "--out", folder / "no/such/o", "--ids=1"}, 2, "does not exist"},
  };
  for (const Case& c : cases) {
    std::vector<std::string> arguments = {"dump"};
    arguments.insert(arguments.end(), c.arguments.begin(), c.arguments.end());
    const test::Run run = test::fastvlm(arguments);
    EXPECT_EQ(run.code, c.code) << c.message << ": " << run.err;
    EXPECT_THAT(run.err, testing::HasSubstr(c.message));
    EXPECT_THAT(run.err, testing::StartsWith("fastvlm: error: "));
    EXPECT_EQ(run.out, "");
    EXPECT_FALSE(std::filesystem::exists(out));
  }
}

}  // namespace
}  // namespace fastvlm

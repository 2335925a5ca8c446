// SPDX-License-Identifier: Apache-2.0
// The projector of the 4-bit exports (the full-precision one is compared in tower_test.cc).
#include "vision/projector.h"

#include <gtest/gtest.h>

#include "support/files.h"
#include "vision/vision_goldens.h"

namespace fastvlm {
namespace {

constexpr double kProjectorTolerance = 1e-4;

class ProjectorGolden : public testing::TestWithParam<const char*> {};

TEST_P(ProjectorGolden, FourBits) {
  const std::filesystem::path golden = test::golden("vlm") / GetParam();
  const test::TemporaryFolder folder;
  std::filesystem::copy_file(golden / "mlx_config.json", folder / "config.json");
  std::filesystem::copy_file(golden / "mlx_4bit.safetensors", folder / "model.safetensors");
  const auto checkpoint = Checkpoint::open(folder.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  ThreadPool pool(2);
  const auto projector = Projector::load(*checkpoint, pool);
  ASSERT_TRUE(projector.ok()) << projector.status().message;

  const auto outputs = SafetensorsFile::open(golden / "golden_mlx_4bit.safetensors");
  ASSERT_TRUE(outputs.ok()) << outputs.status().message;
  const TensorView& features = *outputs->find("image_features");
  const TensorView& projected = *outputs->find("projected");
  ASSERT_EQ(features.shape.size(), 2U);
  const Tokens tokens{features.shape[0], features.shape[1], *to_floats(features, "image_features")};
  ASSERT_EQ(projector->input_width(), tokens.width);
  const Tokens ours = projector->project(tokens, pool);
  ASSERT_EQ((std::vector{ours.count, ours.width}), projected.shape);
  test::expect_close(ours.values.data(), *to_floats(projected, "projected"), kProjectorTolerance,
                     kProjectorTolerance, "projected");
}

INSTANTIATE_TEST_SUITE_P(Models, ProjectorGolden, testing::Values("hd_tied", "s0_untied"),
                         [](const auto& model) { return std::string(model.param); });

}  // namespace
}  // namespace fastvlm

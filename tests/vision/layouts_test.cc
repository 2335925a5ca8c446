// SPDX-License-Identifier: Apache-2.0
// The same tower stored in every layout gives the same tokens, to the last bit.
#include "support/layouts.h"

#include <gtest/gtest.h>

#include "support/files.h"
#include "vision/projector.h"
#include "vision/tower.h"
#include "vision/vision_goldens.h"

namespace fastvlm {
namespace {

class Layouts : public testing::TestWithParam<const char*> {};

TEST_P(Layouts, SameTokens) {
  const std::filesystem::path source = test::golden("vlm") / GetParam();
  const auto golden = SafetensorsFile::open(source / "golden_vision.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status().message;
  const test::Picture picture = test::picture(*golden->find("128x128/pixels_u8"));
  ThreadPool pool(1);
  const test::TemporaryFolder folder;
  std::optional<Tokens> expected;  // of the first layout, which is the golden's own
  std::optional<Tokens> expected_projection;
  for (const test::LayoutCase& layout : test::all_layouts()) {
    SCOPED_TRACE(layout.name);
    layout.write(source, folder / layout.name);
    const auto checkpoint = Checkpoint::open(folder / layout.name);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
    const auto tower = VisionTower::load(*checkpoint, pool);
    ASSERT_TRUE(tower.ok()) << tower.status().message;
    const auto tokens = tower->encode(picture.pixels.data(), 128, 128, pool);
    ASSERT_TRUE(tokens.ok()) << tokens.status().message;
    const auto projector = Projector::load(*checkpoint, pool);
    ASSERT_TRUE(projector.ok()) << projector.status().message;
    const Tokens projected = projector->project(*tokens, pool);
    if (!expected) {
      expected = *tokens;
      expected_projection = projected;
    }
    EXPECT_EQ(tokens->values, expected->values);
    if (layout.exact) {
      EXPECT_EQ(projected.values, expected_projection->values);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Layouts, testing::Values("hd_tied", "s0_untied"),
                         [](const auto& model) { return std::string(model.param); });

}  // namespace
}  // namespace fastvlm

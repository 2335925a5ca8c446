// SPDX-License-Identifier: Apache-2.0
#include "formats/checkpoint.h"

#include <gtest/gtest.h>

#include "support/files.h"

namespace fastvlm {
namespace {

TEST(Checkpoint, OpensTheGoldens) {
  for (const char* model : {"hd_tied", "s0_untied"}) {
    const auto checkpoint = Checkpoint::open(test::golden("vlm") / model);
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
    EXPECT_EQ(checkpoint->layout(), Layout::kLlava);
    EXPECT_TRUE(checkpoint->has_vision());
    EXPECT_TRUE(checkpoint->has_projector());
    EXPECT_TRUE(checkpoint->has_language());
    EXPECT_EQ(checkpoint->warnings(), std::vector<std::string>{});
  }
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// The fast towers against the f32 one (docs/ACCURACY.md): tokens of the golden models and pictures.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/dot_matrix.h"
#include "kernels/table.h"
#include "support/files.h"
#include "vision/tower.h"
#include "vision/vision_goldens.h"

namespace fastvlm {
namespace {

// The least cosine of a token with its f32 self. The golden models are a tenth as wide as the real
// ones, so that a token has few numbers over which errors could cancel; found: 0.9989 and 0.9974.
constexpr double kLeastBf16 = 0.998;
constexpr double kLeastInt8 = 0.996;

double least_cosine(const Tokens& found, const Tokens& exact) {
  double least = 1.0;
  for (int64_t t = 0; t < exact.count; ++t) {
    double product = 0.0;
    double length = 0.0;
    double exact_length = 0.0;
    for (int64_t c = 0; c < exact.width; ++c) {
      const auto i = static_cast<size_t>(t * exact.width + c);
      product += double{found.values[i]} * double{exact.values[i]};
      length += double{found.values[i]} * double{found.values[i]};
      exact_length += double{exact.values[i]} * double{exact.values[i]};
    }
    least = std::min(least, product / std::sqrt(length * exact_length));
  }
  return least;
}

class FastTower : public testing::TestWithParam<const char*> {
 protected:
  static Tokens encode(const Checkpoint& checkpoint, const test::Picture& image,
                       Arithmetic arithmetic, int threads) {
    ThreadPool pool(threads);
    const auto tower = VisionTower::load(checkpoint, pool, arithmetic);
    EXPECT_TRUE(tower.ok()) << tower.status().message;
    const auto tokens = tower->encode(image.pixels.data(), image.height, image.width, pool);
    EXPECT_TRUE(tokens.ok()) << tokens.status().message;
    return *tokens;
  }
};

TEST_P(FastTower, KeepsTheTokens) {
  const auto folder = test::golden("vlm") / GetParam();
  const auto golden = SafetensorsFile::open(folder / "golden_vision.safetensors");
  ASSERT_TRUE(golden.ok()) << golden.status().message;
  const auto checkpoint = Checkpoint::open(folder);
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status().message;
  const auto image = test::picture(*golden->find("256x256/pixels_u8"));
  const Tokens exact = encode(*checkpoint, image, Arithmetic::kF32, 2);
  for (const auto& [arithmetic, least] :
       {std::pair{Arithmetic::kBf16, kLeastBf16}, {Arithmetic::kInt8, kLeastInt8}}) {
    const Tokens found = encode(*checkpoint, image, arithmetic, 2);
    EXPECT_GE(least_cosine(found, exact), least) << static_cast<int>(arithmetic);
    EXPECT_EQ(encode(*checkpoint, image, arithmetic, 1).values, found.values)
        << "depends on the number of threads";
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FastTower, testing::Values("hd_tied", "s0_untied"),
                         [](const auto& model) { return std::string(model.param); });

TEST(FastestArithmetic, IsNarrowWhereTheMachineHasTheInstructions) {
  const std::string usual = current_isa();
  ASSERT_TRUE(select_isa("reference").ok());
  EXPECT_EQ(fastest_arithmetic(), Arithmetic::kF32);
  ASSERT_TRUE(select_isa(usual).ok());
}

}  // namespace
}  // namespace fastvlm

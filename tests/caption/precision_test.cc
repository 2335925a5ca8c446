// SPDX-License-Identifier: Apache-2.0
// The demo model's captions of examples/ with the decoder's products in int8 and in f32
// (docs/ACCURACY.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "caption/engine.h"
#include "image/decode.h"
#include "support/files.h"

namespace fastvlm {
namespace {

std::vector<std::filesystem::path> example_pictures() {
  std::vector<std::filesystem::path> files;
  const std::filesystem::path folder = std::filesystem::path(FASTVLM_SOURCE_DIR) / "examples";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".jpg") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::vector<std::string> captions(Arithmetic language) {
  ThreadPool pool(2);
  EngineOptions options;
  options.model = std::filesystem::path(FASTVLM_SOURCE_DIR) / "models" / "demo";
  options.language = language;
  const auto engine = Engine::load(options, pool);
  EXPECT_TRUE(engine.ok()) << engine.status().message;
  std::vector<std::string> texts;
  if (!engine.ok()) return texts;
  Session session(*engine, pool);
  for (const std::filesystem::path& file : example_pictures()) {
    const auto image = load_image(file);
    EXPECT_TRUE(image.ok()) << image.status().message;
    const auto caption = session.caption(*image, {});
    EXPECT_TRUE(caption.ok()) << caption.status().message;
    texts.push_back(caption.ok() ? caption->text : "");
  }
  return texts;
}

TEST(Precision, CaptionsInInt8AreThoseInF32) {
  const std::vector<std::string> exact = captions(Arithmetic::kF32);
  const std::vector<std::string> fast = captions(Arithmetic::kInt8);
  ASSERT_EQ(exact.size(), fast.size());
  ASSERT_FALSE(exact.empty());
  int64_t same = 0;
  for (size_t i = 0; i < exact.size(); ++i) same += exact[i] == fast[i];
  std::printf("%d of %d captions the same\n", static_cast<int>(same),
              static_cast<int>(exact.size()));
  EXPECT_GE(same, static_cast<int64_t>(exact.size()) - 1);
}

}  // namespace
}  // namespace fastvlm

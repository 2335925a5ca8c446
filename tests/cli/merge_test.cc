// SPDX-License-Identifier: Apache-2.0
// fastvlm merge, as a user sees it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "formats/checkpoint.h"
#include "language/adapter_file.h"
#include "support/lora.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

class MergeCommandTest : public testing::Test {
 protected:
  MergeCommandTest() {
    test::make_tiny_model(folder_ / "tiny", "hd_tied");
    const auto base = Checkpoint::open(folder_ / "tiny");
    const LoraAdapter adapter =
        test::random_adapter(base->config().language, test::of_rank(4, 256), 0.02F);
    fs::create_directories(folder_ / "lora");
    EXPECT_TRUE(save_adapter(folder_ / "lora", adapter, "tiny").ok());
  }
  test::Run run(std::vector<std::string> arguments) const {
    return test::fastvlm(arguments, {.folder = folder_.path()});
  }
  test::TemporaryFolder folder_;
};

TEST_F(MergeCommandTest, ProvesItself) {
  const test::Run merged =
      run({"merge", "--model", "tiny", "--adapter", "lora", "--out", "m", "--dtype", "f32"});
  ASSERT_EQ(merged.code, 0) << merged.err;
  EXPECT_THAT(merged.out, AllOf(HasSubstr("14 matrices merged, f32"), HasSubstr("(bound 0.0001)"),
                                HasSubstr("same in 100.00 %")));
  EXPECT_TRUE(fs::exists(folder_ / "m/tokenizer.json"));
  const test::Run half = run({"merge", "--model", "tiny", "--adapter", "lora:0.5", "--out", "h",
                              "--dtype", "bf16", "--json"});
  ASSERT_EQ(half.code, 0) << half.err << half.out;
  EXPECT_EQ(json::parse(half.out)["dtype"], "bf16");
  const test::Run strict = run({"merge", "--model", "tiny", "--adapter", "lora", "--out", "s",
                                "--dtype", "bf16", "--bound", "1e-9"});
  EXPECT_EQ(strict.code, 4) << strict.out;
}

// An adapter beside the weights says what the merged model says, and the provenance names it.
TEST_F(MergeCommandTest, AdaptersAreReadWithoutMerging) {
  ASSERT_EQ(
      run({"merge", "--model", "tiny", "--adapter", "lora", "--out", "m", "--dtype", "f32"}).code,
      0);
  const std::string picture = std::string(FASTVLM_SOURCE_DIR) + "/examples/fish-underwater.jpg";
  const auto caption = [&](std::vector<std::string> with) {
    std::vector<std::string> arguments = {"caption",      picture,       "--prompt",
                                          "hello",        "--precision", "fp32",
                                          "--max-tokens", "24",          "--json"};
    arguments.insert(arguments.end(), with.begin(), with.end());
    const test::Run made = run(arguments);
    EXPECT_EQ(made.code, 0) << made.err;
    return json::parse(made.out);
  };
  const json beside = caption({"--model", "tiny", "--adapter", "lora"});
  const json merged = caption({"--model", "m"});
  const json plain = caption({"--model", "tiny"});
  EXPECT_EQ(beside["text"], merged["text"]);
  EXPECT_NE(beside["text"], plain["text"]);
  EXPECT_EQ(beside["provenance"]["adapter"]["name"], "lora");
  EXPECT_EQ(beside["provenance"]["adapter"]["scale"], 1);
  EXPECT_FALSE(plain["provenance"].contains("adapter"));
  const json half = caption({"--model", "tiny", "--adapter", "lora:0.5"});
  EXPECT_EQ(half["provenance"]["adapter"]["scale"], 0.5);
}

TEST_F(MergeCommandTest, WrongUse) {
  EXPECT_EQ(run({"merge", "--model", "tiny", "--out", "x"}).code, 1);
  const test::Run none = run({"merge", "--model", "tiny", "--adapter", "nowhere", "--out", "x"});
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.err, HasSubstr("nowhere/adapter_config.json"));
  const test::Run scale = run({"merge", "--model", "tiny", "--adapter", "lora:big", "--out", "x"});
  EXPECT_EQ(scale.code, 1);
  EXPECT_THAT(scale.err, HasSubstr("expected DIR or DIR:SCALE"));
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// fastvlm quantize, as a user sees it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "cli/program.h"
#include "support/files.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

class QuantizeTest : public testing::Test {
 protected:
  QuantizeTest() { test::make_tiny_model(folder_ / "tiny", "hd_tied"); }
  test::Run run(std::vector<std::string> arguments) const {
    return test::fastvlm(arguments, {.folder = folder_.path()});
  }
  test::TemporaryFolder folder_;
};

TEST_F(QuantizeTest, AnExportCaptionsAtOnce) {
  const test::Run made = run({"quantize", "--model", "tiny", "--out", "small", "--verify"});
  ASSERT_EQ(made.code, 0) << made.err;
  EXPECT_THAT(made.out,
              AllOf(HasSubstr("17 matrices at 4 bits (group 64, uniform)"),
                    HasSubstr("readers: Apple's app: every tensor and key is found"),
                    HasSubstr("logits: error "), HasSubstr("layers: worst behind block")));
  const std::string picture = std::string(FASTVLM_SOURCE_DIR) + "/examples/fish-underwater.jpg";
  const test::Run caption = run(
      {"caption", "--model", "small", "--prompt", "hello", "--max-tokens", "8", "--json", picture});
  ASSERT_EQ(caption.code, 0) << caption.err;
  EXPECT_EQ(json::parse(caption.out)["provenance"]["weights"], "q4 g64");
  const test::Run again = run({"quantize", "--model", "tiny", "--out", "small"});
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("small: is not empty"));
}

TEST_F(QuantizeTest, WhatOthersCannotReadIsSaid) {
  const test::Run made = run({"quantize", "--model", "tiny", "--out", "small", "--recipe", "head8",
                              "--bits", "3", "--quantizer", "search", "--verify", "--json"});
  EXPECT_EQ(made.code, 4) << made.err;
  const json report = json::parse(made.out);
  EXPECT_EQ(report["bits"], 3);
  EXPECT_EQ(report["quantizer"], "search");
  EXPECT_THAT(report["verification"]["problems"][0], HasSubstr("which Apple's app does not read"));
  EXPECT_EQ(report["verification"]["layers"].size(), 3U);
}

TEST_F(QuantizeTest, PicturesSayWhichWeightsMatter) {
  std::filesystem::create_directory(folder_ / "pictures");
  std::filesystem::copy(std::string(FASTVLM_SOURCE_DIR) + "/examples/fish-underwater.jpg",
                        folder_ / "pictures");
  const std::vector<std::string> search = {"quantize", "--model", "tiny", "--quantizer", "search"};
  std::vector<std::string> weights;
  for (const std::string out : {"alike", "weighted", "again"}) {
    std::vector<std::string> arguments = search;
    arguments.insert(arguments.end(), {"--out", out});
    if (out != "alike") arguments.insert(arguments.end(), {"--calibrate", "pictures"});
    const test::Run made = run(arguments);
    ASSERT_EQ(made.code, 0) << made.err;
    weights.push_back(*read_text_file(folder_ / out / "model.safetensors"));
  }
  EXPECT_NE(weights[1], weights[0]);
  EXPECT_EQ(weights[1], weights[2]);

  const test::Run alone =
      run({"quantize", "--model", "tiny", "--out", "x", "--calibrate", "pictures"});
  EXPECT_EQ(alone.code, 1);
  EXPECT_THAT(alone.err, HasSubstr("add --quantizer search"));
  const test::Run empty = run({"quantize", "--model", "tiny", "--quantizer", "search", "--out", "x",
                               "--calibrate", "nowhere"});
  EXPECT_EQ(empty.code, 2);
  EXPECT_THAT(empty.err, HasSubstr("nowhere"));
}

TEST_F(QuantizeTest, WrongUse) {
  EXPECT_EQ(run({"quantize", "--model", "tiny"}).code, 1);
  EXPECT_EQ(run({"quantize", "--model", "tiny", "--out", "x", "--bits", "5"}).code, 1);
  EXPECT_EQ(run({"quantize", "--model", "tiny", "--out", "x", "--group", "48"}).code, 1);
  EXPECT_EQ(run({"quantize", "--model", "nowhere", "--out", "x"}).code, 2);
  const test::Run demo = run({"quantize", "--model", test::demo_model(), "--out", "x"});
  EXPECT_EQ(demo.code, 1);
  EXPECT_THAT(demo.err, HasSubstr("is quantised already"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "x"));
}

}  // namespace
}  // namespace fastvlm

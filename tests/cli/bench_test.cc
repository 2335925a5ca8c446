// SPDX-License-Identifier: Apache-2.0
// fastvlm bench: its three forms of output on the demo model. What it measures is nobody's promise.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/program.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

test::Run bench(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"bench", "--model", test::demo_model(), "-r", "1"});
  return test::fastvlm(arguments);
}

TEST(Bench, OneRowForEveryTestThreadCountAndPrecision) {
  const test::Run run = bench({"-p", "20,80", "-n", "3", "--threads", "1,2", "--precision",
                               "fp32,int8", "--image-sizes", "128,256", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto all = nlohmann::json::parse(run.out);
  // Two towers, two prompts, one answer, and first tokens where the image fits into the prompt:
  // 16 tokens into 20 and 80, 64 into 80.
  EXPECT_EQ(all["rows"].size(), 4U * (2 + 2 + 1 + 3));
  EXPECT_EQ(all["runs"].size(), 4U);
  for (const auto& row : all["rows"]) {
    EXPECT_GT(row["ms"], 0) << row;
    const std::string test = row["test"];
    EXPECT_EQ(row["tokens_per_second"].is_null(),
              !test.starts_with("prompt") && !test.starts_with("answer"));
    EXPECT_EQ(row["of_limit"].is_null(), test.starts_with("first")) << row;
  }
  for (const auto& limits : all["runs"]) {
    EXPECT_GT(limits["float_gop_per_second"], 0);
    EXPECT_GE(limits["byte_gop_per_second"], limits["float_gop_per_second"].get<double>() / 2);
    EXPECT_GT(limits["read_gb_per_second"], 0);
  }
}

TEST(Bench, TablesAndCards) {
  const test::Run table = bench({"-p", "8", "-n", "2", "--precision", "int8"});
  EXPECT_EQ(table.code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("| prompt 8 | int8 |"));
  const test::Run csv = bench({"-p", "8", "-n", "2", "--csv"});
  EXPECT_THAT(csv.out, StartsWith("test,precision,threads,ms,"));
  EXPECT_EQ(std::count(csv.out.begin(), csv.out.end(), '\n'), 1 + 3);
  const test::Run card = bench({"--card", test::golden("preprocess") / "tiny.png"});
  EXPECT_THAT(card.out, HasSubstr("| first token | tokens/s |"));
  const test::Run row = bench({"--card", test::golden("preprocess") / "tiny.png", "--csv"});
  EXPECT_EQ(row.out.find("\n,"), std::string::npos) << row.out;
}

TEST(Bench, RefusesWhatCannotBeMeasured) {
  EXPECT_EQ(bench({"-p", "0"}).code, 1);
  EXPECT_EQ(bench({"--json", "--csv"}).code, 1);
  EXPECT_EQ(bench({"--card", ""}).code, 1);
  EXPECT_EQ(bench({"--card", test::golden("preprocess") / "tiny.png", "--threads", "1,2"}).code, 1);
  const test::Run huge = bench({"--image-sizes", "16384"});
  EXPECT_EQ(huge.code, 1);
  EXPECT_THAT(huge.err, HasSubstr("4096"));
  const test::Run odd = bench({"--image-sizes", "100"});
  EXPECT_EQ(odd.code, 1);
  EXPECT_THAT(odd.err, HasSubstr("multiples of"));
  const test::Run longer = bench({"-p", "1000000"});
  EXPECT_EQ(longer.code, 2);
  EXPECT_THAT(longer.err, HasSubstr("exceed the model's context"));
}

}  // namespace
}  // namespace fastvlm

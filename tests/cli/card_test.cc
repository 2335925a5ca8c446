// SPDX-License-Identifier: Apache-2.0
// fastvlm card: from a run and what other commands print to a model card.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "cli/program.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class CardCommand : public testing::Test {
 protected:
  CardCommand() { test::make_tiny_model(folder_ / "model", "s0_untied"); }

  test::Run run(std::vector<std::string> arguments) const {
    return test::fastvlm(std::move(arguments), {.folder = folder_.path()});
  }
  test::Run train() const {
    const nlohmann::json turns{{{"from", "human"}, {"value", "<image>\nhello?"}},
                               {{"from", "gpt"}, {"value", "A tiny picture."}}};
    std::ofstream(folder_ / "data.jsonl")
        << nlohmann::json{{"image", "tiny.png"}, {"conversations", turns}}.dump() << "\n";
    return run({"train", "--model", "model", "--data", "data.jsonl", "--images",
                test::golden("preprocess"), "--lora-r", "2", "--out", "run", "--watts", "40",
                "--region", "100"});
  }

  test::TemporaryFolder folder_;
};

TEST_F(CardCommand, TellsOfARunWhatWasMeasured) {
  ASSERT_EQ(train().code, 0);
  const test::Run unlicensed = run({"card", "run"});
  EXPECT_EQ(unlicensed.code, 1);
  EXPECT_THAT(unlicensed.err, AllOf(HasSubstr("state no licence"), HasSubstr("--license NAME")));

  ASSERT_EQ(run({"merge", "--model", "model", "--adapter", "run", "--out", "merged"}).code, 0);
  const test::Run bench = run({"bench", "--model", "model", "--card",
                               test::golden("preprocess/tiny.png"), "-r", "1", "--json"});
  ASSERT_EQ(bench.code, 0) << bench.err;
  std::ofstream(folder_ / "bench.json") << bench.out;
  std::ofstream(folder_ / "refs.jsonl") << R"({"image": "a", "text": "a red boat"})"
                                        << "\n";
  const test::Run evaluation = run({"evaluate", "--predictions", "refs.jsonl", "--references",
                                    "refs.jsonl", "--metrics", "bleu", "--json"});
  ASSERT_EQ(evaluation.code, 0) << evaluation.err;
  std::ofstream(folder_ / "eval.json") << evaluation.out;

  const test::Run card = run({"card", "run", "--license", "mit", "--base", "me/base", "--dataset",
                              "me/set", "--evaluation", "eval.json", "--bench", "bench.json",
                              "--merged", "merged", "--out", "README.md", "--json"});
  ASSERT_EQ(card.code, 0) << card.err;
  const std::string text = *read_text_file(folder_ / "README.md");
  const auto printed = nlohmann::json::parse(card.out);
  EXPECT_EQ(printed["card"], text);
  EXPECT_EQ(printed["missing"].size(), 1U) << printed["missing"];
  EXPECT_THAT(text, testing::StartsWith("---\nlicense: mit\nbase_model: \"me/base\"\n"));
  EXPECT_THAT(text, AllOf(HasSubstr("# merged"), HasSubstr("- \"me/set\""),
                          HasSubstr("| Bleu_1 | 1.0000"), HasSubstr("co2_eq_emissions:"),
                          HasSubstr("| merged | bf16 | "), HasSubstr(" tok/s |")));

  const test::Run over = run({"card", "run", "--license", "mit", "--out", "run/metrics.jsonl"});
  EXPECT_EQ(over.code, 1);
  const test::Run wrong = run({"card", "run", "--license", "mit", "--bench", "eval.json"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("eval.json: is not what `fastvlm bench"));
}

TEST_F(CardCommand, TheBasesLicenceStays) {
  std::ofstream(folder_ / "model/README.md") << "---\nlicense: apple-amlr\n---\n";
  ASSERT_EQ(train().code, 0);
  const test::Run card = run({"card", "run"});
  ASSERT_EQ(card.code, 0) << card.err;
  EXPECT_THAT(card.out, AllOf(HasSubstr("license: apple-amlr\n"), HasSubstr("research only")));
  const test::Run other = run({"card", "run", "--license", "mit"});
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.err, HasSubstr("the base's files state apple-amlr"));
}

TEST_F(CardCommand, WantsAFinishedRun) {
  const test::Run none = run({"card", "model"});
  EXPECT_EQ(none.code, 2);
  EXPECT_THAT(none.err, HasSubstr("model: holds no training run (run.json)"));
}

}  // namespace
}  // namespace fastvlm

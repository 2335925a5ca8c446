// SPDX-License-Identifier: Apache-2.0
// fastvlm evaluate as scripts use it: the goldens' numbers through the program, files, exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/program.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using testing::HasSubstr;

std::string read(const std::filesystem::path& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class EvaluateCommandTest : public testing::Test {
 protected:
  // The degenerate captions of the goldens as the two files that a user has.
  void SetUp() override {
    golden_ = json::parse(read(test::golden("metrics/edge.json")));
    json references = {{"images", json::array()}, {"annotations", json::array()}};
    json predictions = json::array();
    for (const json& id : golden_["order"]) {
      const json& image = golden_["images"][id.dump()];
      references["images"].push_back({{"id", id}, {"file_name", id.dump() + ".jpg"}});
      for (const json& reference : image["refs"]) {
        references["annotations"].push_back({{"image_id", id}, {"caption", reference}});
      }
      predictions.push_back({{"image_id", id}, {"caption", image["cand"]}});
    }
    write("refs.json", references.dump());
    write("preds.json", predictions.dump());
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }
  test::Run evaluate(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "evaluate");
    return test::fastvlm(arguments, {.folder = folder_.path()});
  }
  test::Run evaluate_predictions(std::vector<std::string> arguments) const {
    const std::vector<std::string> before = {"--predictions", "preds.json",       "--references",
                                             "refs.json",     "--meteor-modules", "exact,stem"};
    arguments.insert(arguments.begin(), before.begin(), before.end());
    return evaluate(arguments);
  }
  void expect_error(const test::Run& run, int code, const char* message) const {
    EXPECT_EQ(run.code, code) << run.err;
    EXPECT_EQ(run.out, "");
    EXPECT_THAT(run.err, HasSubstr(message));
    EXPECT_THAT(run.err, HasSubstr("\nhint: "));
  }

  test::TemporaryFolder folder_;
  json golden_;
};

TEST_F(EvaluateCommandTest, JsonHasTheNumbersOfTheReference) {
  const test::Run run = evaluate_predictions({"--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("warning: preds.json: 1 caption is empty"));
  const json out = json::parse(run.out);
  for (const char* key : {"Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"}) {
    EXPECT_NEAR(out["corpus"][key], golden_["corpus"][key].get<double>(), 1e-12) << key;
  }
  EXPECT_NEAR(out["corpus"]["METEOR"], golden_["corpus"]["METEOR_exact_stem"].get<double>(), 1e-9);
  EXPECT_EQ(out["corpus"]["METEOR_modules"], json({"exact", "stem"}));
  ASSERT_EQ(out["images"].size(), golden_["order"].size());
  for (const json& image : out["images"]) {
    const json& scores = golden_["images"][image["image_id"].dump()]["scores"];
    for (const char* key : {"Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L", "CIDEr"}) {
      EXPECT_NEAR(image[key], scores[key].get<double>(), 1e-12) << key;
    }
    EXPECT_NEAR(image["METEOR"], scores["METEOR_exact_stem"].get<double>(), 1e-9);
  }
}

TEST_F(EvaluateCommandTest, TableAndFiles) {
  const test::Run run =
      evaluate_predictions({"--per-image", "images.csv", "--report", "report.html",
                            "--save-document-frequencies", "df.json", "--metrics", "bleu,cider"});
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("24 images of preds.json"));
  EXPECT_THAT(run.out, HasSubstr("CIDEr   0.8692  ["));
  EXPECT_THAT(read(folder_ / "images.csv"),
              testing::StartsWith("image_id,file,Bleu_1,Bleu_2,Bleu_3,Bleu_4,CIDEr,caption\n"));
  const std::string page = read(folder_ / "report.html");
  EXPECT_THAT(page, testing::StartsWith("<!DOCTYPE html>"));
  EXPECT_THAT(page, testing::Not(HasSubstr("@DATA@")));
  EXPECT_THAT(page, testing::Not(HasSubstr("http")));
  const test::Run again = evaluate_predictions(
      {"--document-frequencies", "df.json", "--metrics", "cider", "--resamples", "0"});
  EXPECT_THAT(again.out, HasSubstr("CIDEr  0.8692\n"));
  EXPECT_THAT(again.out, HasSubstr("document frequencies from a saved table"));
}

TEST_F(EvaluateCommandTest, ComparesTwoFiles) {
  const test::Run run = evaluate({"--compare", "preds.json", "preds.json", "--references",
                                  "refs.json", "--metrics", "rouge", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const json difference = json::parse(run.out)["differences"]["ROUGE_L"];
  EXPECT_EQ(difference["difference"], 0);
  EXPECT_EQ(difference["p_value"], 1);
}

TEST_F(EvaluateCommandTest, WrongUseAndBadInput) {
  expect_error(evaluate({"--references", "refs.json"}), 1, "--predictions FILE or --compare A B");
  expect_error(evaluate_predictions({"--metrics", "spice"}), 1, "unknown metric spice");
  expect_error(evaluate({"--predictions", "none.json", "--references", "refs.json"}), 2,
               "none.json: cannot be read");
  expect_error(evaluate({"--predictions", "preds.json", "--references", "refs.json", "--wordnet",
                         "nowhere"}),
               2, "nowhere/index.noun: no such file");
  write("preds.json", R"([{"image_id": 229858, "caption": "a dog"}])");
  expect_error(evaluate_predictions({}), 2, "23 images of refs.json without a caption: 382122, ");
  write("preds.json", R"([{"image_id": 1, "caption": "a dog\rruns"}])");
  expect_error(evaluate_predictions({}), 2, "1 image whose caption holds a line end: 1");
  expect_error(evaluate_predictions({"--join-lines"}), 2, "refs.json does not have: 1");
}

}  // namespace
}  // namespace fastvlm

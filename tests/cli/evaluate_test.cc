// SPDX-License-Identifier: Apache-2.0
// fastvlm evaluate as scripts use it: the goldens' numbers through the program, files, exit codes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/program.h"
#include "support/tiny_model.h"

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

TEST_F(EvaluateCommandTest, FactorsOfUnknownImagesAreNamed) {
  write("factors.json", R"({"229858": ["night"], "77": ["night"]})");
  const test::Run run = evaluate_predictions({"--factors", "factors.json", "--metrics", "rouge"});
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("1 image of --factors not scored: 77"));
  EXPECT_THAT(run.out, HasSubstr("night        1"));
}

TEST_F(EvaluateCommandTest, ComparesGroundingAndForm) {
  write("refs.json", R"([{"image_id": 1, "caption": "A dog."}])");
  write("instances.json", R"({"images": [{"id": 1, "width": 9, "height": 9}],
                              "categories": [{"id": 18, "name": "dog", "supercategory": "animal"}],
                              "annotations": [{"image_id": 1, "category_id": 18,
                                               "bbox": [0, 0, 3, 3], "iscrowd": 0}]})");
  write("a.json",
        R"([{"image_id": 1, "caption": "1. Main Focus – A dog.\n7. Style & Aesthetic – Calm."}])");
  write("b.json",
        R"([{"image_id": 1, "caption": "1. Main Focus – A cat.\n7. Style & Aesthetic – Calm."}])");
  const std::vector<std::string> arguments = {"--compare",      "a.json",    "b.json",
                                              "--references",   "refs.json", "--instances",
                                              "instances.json", "--metrics", "rouge"};
  const test::Run run = evaluate(arguments);
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.out, HasSubstr("CHAIR-i             0.0 %  100.0 %     100.0 %"));
  EXPECT_THAT(run.out, HasSubstr("sections_present    0.0 %    0.0 %       0.0 %"));
}

TEST_F(EvaluateCommandTest, WrongUseAndBadInput) {
  expect_error(evaluate({"--references", "refs.json"}), 1, "--predictions FILE, --compare A B");
  expect_error(evaluate({"--predictions", "preds.json"}), 1, "expected --references FILE");
  expect_error(evaluate({"--data", "refs.json", "--references", "refs.json"}), 1,
               "--references has no place beside it");
  expect_error(evaluate({"--compare", "preds.json", "preds.json", "--references", "refs.json",
                         "--report", "report.html"}),
               1, "--compare writes no report");
  expect_error(evaluate_predictions({"--limit", "3"}), 1, "--limit requires --data");
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

// A set of two pictures, and one that is not there.
class EvaluateModelTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new test::TemporaryFolder;
    test::make_tiny_model(*folder_ / "tiny", "hd_tied");
    std::filesystem::create_directories(*folder_ / "pictures");
    for (const char* name : {"landscape.png", "portrait.png"}) {
      std::filesystem::copy_file(test::golden(std::string("preprocess/") + name),
                                 *folder_ / "pictures" / name);
    }
    write("set.json", R"({"images": [{"id": 1, "file_name": "train/landscape.png"},
                                     {"id": 2, "file_name": "portrait.png"},
                                     {"id": 3, "file_name": "gone.png"}],
                          "annotations": [{"image_id": 1, "caption": "A field."},
                                          {"image_id": 2, "caption": "A tower."},
                                          {"image_id": 3, "caption": "Nothing."}]})");
    write("tags.json", R"x([{"image": "portrait.png", "tags": ["dog (left)"]}])x");
  }
  static void TearDownTestSuite() {
    delete folder_;
    folder_ = nullptr;
  }
  void SetUp() override { std::filesystem::remove(*folder_ / "kept.jsonl"); }
  static void write(const std::string& name, const std::string& text) {
    std::ofstream(*folder_ / name, std::ios::binary) << text;
  }
  static std::string kept() { return read(*folder_ / "kept.jsonl"); }
  static test::Run evaluate(std::vector<std::string> arguments) {
    const std::vector<std::string> before = {"evaluate", "--model",      "tiny",     "--data",
                                             "set.json", "--images",     "pictures", "--prompt",
                                             "hello",    "--metrics",    "rouge",    "--resamples",
                                             "0",        "--max-tokens", "8",        "--json"};
    arguments.insert(arguments.begin(), before.begin(), before.end());
    return test::fastvlm(arguments, {.folder = folder_->path()});
  }

  static test::TemporaryFolder* folder_;
};

test::TemporaryFolder* EvaluateModelTest::folder_ = nullptr;

TEST_F(EvaluateModelTest, CaptionsAndScores) {
  const test::Run run = evaluate({"--limit", "2", "--report", "report.html"});
  ASSERT_EQ(run.code, 0) << run.err;
  const json out = json::parse(run.out);
  EXPECT_THAT(out["predictions"].get<std::string>(), testing::StartsWith("tiny ("));
  ASSERT_EQ(out["images"].size(), 2U);
  const test::Run caption = test::fastvlm({"caption", "--model", "tiny", "--prompt", "hello",
                                           "--max-tokens", "8", "pictures/portrait.png", "--json"},
                                          {.folder = folder_->path()});
  EXPECT_EQ(out["images"][1]["caption"], json::parse(caption.out)["text"]);
  EXPECT_THAT(read(*folder_ / "report.html"), HasSubstr("data:image/webp"));
}

TEST_F(EvaluateModelTest, PicturesThatFailAreCountedAndNamed) {
  const test::Run run = evaluate({});
  EXPECT_EQ(run.code, 3) << run.err;
  EXPECT_THAT(run.err, HasSubstr("pictures/gone.png: no such file"));
  EXPECT_THAT(run.err, HasSubstr("1 of 3 pictures could not be captioned and are left out: 3"));
  const json out = json::parse(run.out);
  EXPECT_EQ(out["images"].size(), 2U);
  EXPECT_THAT(out["warnings"][0].get<std::string>(), HasSubstr("left out: 3"));
  const test::Run none =
      test::fastvlm({"evaluate", "--model", "tiny", "--data", "set.json", "--metrics", "rouge"},
                    {.folder = folder_->path()});
  EXPECT_EQ(none.code, 2);
  EXPECT_EQ(none.out, "");
  EXPECT_THAT(none.err, HasSubstr("none of 3 pictures was captioned"));
}

TEST_F(EvaluateModelTest, AnInterruptedRunGoesOn) {
  const std::vector<std::string> tagged = {"--limit",    "2",      "--predictions-out",
                                           "kept.jsonl", "--tags", "tags.json"};
  const test::Run whole = evaluate(tagged);
  ASSERT_EQ(whole.code, 0) << whole.err;
  const std::string lines = kept();
  write("kept.jsonl", lines.substr(0, lines.size() - 9));  // as a run leaves it that is cut off
  const test::Run again = evaluate(tagged);
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.out, whole.out);
  EXPECT_EQ(kept(), lines);
  EXPECT_THAT(again.err, HasSubstr("1 caption is there from an earlier run"));
}

TEST_F(EvaluateModelTest, KeptCaptionsMustBeOfTheSameKind) {
  const std::vector<std::string> keep = {"--limit", "2", "--predictions-out", "kept.jsonl"};
  ASSERT_EQ(evaluate(keep).code, 0);
  const std::string lines = kept();
  const std::vector<std::string> others[] = {
      {"--precision", "fp32"}, {"--order", "ios"}, {"--tags", "tags.json"}};
  for (std::vector<std::string> other : others) {
    other.insert(other.begin(), keep.begin(), keep.end());
    const test::Run run = evaluate(other);
    EXPECT_EQ(run.code, 2) << other.back();
    EXPECT_THAT(run.err, HasSubstr("was made with another model, prompt, precision or tags"));
  }
  EXPECT_EQ(kept(), lines);
  write("kept.jsonl", R"({"image": "portrait.png", "text": "a tower"})"
                      "\n");
  EXPECT_THAT(evaluate(keep).err, HasSubstr("expected captions of an earlier run"));
  EXPECT_EQ(evaluate({"--predictions-out", "nowhere/kept.jsonl"}).code, 2);
}

}  // namespace
}  // namespace fastvlm

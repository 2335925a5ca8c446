// SPDX-License-Identifier: Apache-2.0
// Everything wrong with a data set is told at once, with file and line.
#include "dataset/check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "dataset/coco_teacher.h"
#include "dataset/llava.h"
#include "dataset/record_file.h"
#include "support/files.h"
#include "support/small_tokenizer.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string record(const std::string& id, const std::string& image,
                   const std::string& answer = "A dog.",
                   const std::string& human = "<image>\\nWhat?") {
  return cat(R"({"id":")", id, R"(","image":")", image,
             R"(","conversations":[{"from":"human","value":")", human,
             R"("},{"from":"gpt","value":")", answer, "\"}]}");
}

class Check : public testing::Test {
 protected:
  Check() {
    for (const char* name : {"a.png", "b.png", "c.png"}) {
      fs::copy_file(test::golden(cat("preprocess/", name[0] == 'a'   ? "tiny.png"
                                                    : name[0] == 'b' ? "gray.png"
                                                                     : "rgba.png")),
                    folder_ / name);
    }
    fs::copy_file(folder_ / "a.png", folder_ / "again.png");
    std::ofstream(folder_ / "broken.png") << "\x89PNG\r\n\x1a\n, and then nothing";
  }

  fs::path file(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return folder_ / name;
  }
  // "line: what" of each problem.
  std::vector<std::string> problems(const std::vector<fs::path>& files, CheckOptions options = {}) {
    if (options.images.empty()) options.images = folder_.path();
    const auto found = check_dataset(files, options);
    EXPECT_TRUE(found.ok()) << found.status().message;
    std::vector<std::string> texts;
    for (const DatasetProblem& problem : found->problems) {
      texts.push_back(
          cat(fs::path(problem.file).filename().string(), ":", problem.line, ": ", problem.what));
    }
    bad_ = found->bad;
    return texts;
  }

  test::TemporaryFolder folder_;
  size_t bad_ = 0;
};

TEST_F(Check, AGoodSetHasNoProblems) {
  EXPECT_THAT(problems({file("t.jsonl", record("1", "a.png") + "\n" + record("2", "b.png") + "\n"),
                        file("v.json", "[\n" + record("3", "c.png") + "\n]\n")}),
              IsEmpty());
}

TEST_F(Check, TellsAllProblemsOfAFileWithTheirLines) {
  const std::string two_marks = record("5", "a.png", "A dog.", "<image><image>Both?");
  const std::string text =
      record("1", "none.png") + "\n" + record("2", "broken.png") + "\n" +
      record("3", "a.png", " ") + "\n" + record("4", "a.png", "A dog.", "What?") + "\n" +
      two_marks + "\n\n{\"id\": 6\n" +
      R"({"id":7,"image":["a.png","b.png"],"conversations":[{"from":"gpt","value":"A."}]})" + "\n" +
      record("1", "b.png") + "\n" + R"({"image":"b.png"})" + "\n[1]\n";
  EXPECT_THAT(
      problems({file("t.jsonl", text)}),
      ElementsAre("t.jsonl:1: image none.png: no such file",
                  HasSubstr("t.jsonl:2: image broken.png"),
                  "t.jsonl:3: turn 2: the answer is empty", "t.jsonl:4: turn 1: no <image>",
                  "t.jsonl:5: turn 1: expected one <image>, found 2",
                  HasSubstr("t.jsonl:7: expected JSON, found "),
                  "t.jsonl:8: `image`: expected one picture, found 2",
                  "t.jsonl:8: turn 1: expected `from` \"human\", found \"gpt\"",
                  "t.jsonl:8: turn 1: no <image>", "t.jsonl:8: no answer from \"gpt\" at the end",
                  HasSubstr("t.jsonl:9: id 1: is that of "),
                  "t.jsonl:10: no `conversations`: expected turns of \"human\" and \"gpt\"",
                  "t.jsonl:11: expected an object with `image` and `conversations`"));
  EXPECT_EQ(bad_, 10U);
}

TEST_F(Check, LinesOfAListAreThoseWhereItsElementsBegin) {
  const std::string text = "\xEF\xBB\xBF\n[\n  " + record("1", "a.png", "A \\\"[{,dog.") +
                           ",\n\n  {\n  \"image\": \"none.png\",\n  \"conversations\": []\n  },\n" +
                           "oops\n]";
  EXPECT_THAT(problems({file("t.json", text)}),
              ElementsAre("t.json:5: no `conversations`: expected turns of \"human\" and \"gpt\"",
                          "t.json:5: image none.png: no such file",
                          HasSubstr("t.json:9: expected JSON, found oops")));
}

TEST_F(Check, FindsThePictureOfOneSplitInAnotherUnderAnyName) {
  const auto train = file("train.jsonl", record("1", "a.png") + "\n" + record("2", "a.png") + "\n");
  const auto test =
      file("test.jsonl", record("3", "b.png") + "\n" + record("4", "again.png") + "\n");
  EXPECT_THAT(
      problems({train, test}),
      ElementsAre(testing::AllOf(HasSubstr("test.jsonl:2: image again.png: is in another split"),
                                 HasSubstr("train.jsonl:1"))));
}

TEST_F(Check, SectionsAreAllThereOrNone) {
  std::array<std::string, kSectionCount> texts;
  for (size_t i = 0; i < kSectionCount; ++i) texts[i] = cat("Text ", i, ".");
  EXPECT_THAT(section_problems(seven_sections_text(texts)), IsEmpty());
  EXPECT_THAT(section_problems("A free answer."), IsEmpty());
  EXPECT_FALSE(has_all_sections("A free answer."));
  texts[1] = texts[0];
  texts[2].clear();
  std::string answer = seven_sections_text(texts);
  answer = answer.substr(0, answer.find("7. ")) + "1. Main Focus – Again.";
  EXPECT_THAT(section_problems(answer), ElementsAre("section Main Focus: comes 2 times",
                                                    "section Spatial Relationships: is empty",
                                                    "section Style & Aesthetic: is missing"));
  texts[2] = "Text 1.";
  texts[1] = "Text 0.";
  texts[0] = "Text 0.";
  EXPECT_THAT(section_problems(seven_sections_text(texts)),
              Contains("section Surrounding Objects & Context: has the text of Main Focus"));
}

// A question that lists some of the sections, as that of a schema of one's own does, gets those.
TEST_F(Check, SectionsAreThoseOfTheQuestion) {
  const std::string answer = "1. Main Focus – A cat.\n2. Time of day – midday";
  EXPECT_THAT(section_problems(answer, "Write:\n1. Main Focus\n2. Time of day"), IsEmpty());
  EXPECT_THAT(section_problems(answer, "Write:\n1. Main Focus\n2. Style & Aesthetic"),
              ElementsAre("section Style & Aesthetic: is missing"));
  EXPECT_THAT(section_problems("1. Place – A farm.\n2. Surroundings – A barn.",
                               "Describe:\n\n1. Place\n2. Surroundings – What else?"),
              IsEmpty());
  EXPECT_EQ(section_problems(answer, "Describe the image.").size(), kSectionCount - 1);
}

TEST_F(Check, CountsTokensWithThoseOfThePicture) {
  const auto tokenizer = Tokenizer::from_json(test::small_tokenizer().dump(), "small");
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message;
  CheckOptions options;
  options.images = folder_.path();
  options.tokenizer = &*tokenizer;
  options.image_tokens = 64;
  const auto data =
      file("t.jsonl", record("1", "a.png") + "\n" + record("2", "b.png", "A big dog.") + "\n");
  const auto found = check_dataset({data}, options);
  ASSERT_TRUE(found.ok());
  ASSERT_EQ(found->tokens.values.size(), 2U);
  EXPECT_EQ(found->tokens.values[1] - found->tokens.values[0], 4) << "\" big\" is four bytes";
  const int64_t shorter = found->tokens.values[0];
  options.image_tokens = 65;
  EXPECT_EQ(check_dataset({data}, options)->tokens.values[0], shorter + 1);
  options.max_length = shorter + 1;
  EXPECT_THAT(problems({data}, options),
              ElementsAre(cat("t.jsonl:2: expected at most ", shorter + 1, " tokens, found ",
                              shorter + 5)));
}

TEST_F(Check, AFileWithoutRecordsIsAnError) {
  EXPECT_EQ(check_dataset({file("t.jsonl", " \n\n")}, {}).status().code, Code::kInvalid);
  EXPECT_EQ(check_dataset({folder_ / "absent.jsonl"}, {}).status().code, Code::kNotFound);
  EXPECT_EQ(dataset_files(folder_.path()).status().code, Code::kNotFound);
}

TEST(Histogram, BarsCoverAllValues) {
  Spread spread{{5, 3, 100, 64, 64}};
  const auto bars = histogram_of(spread);
  size_t count = 0;
  for (const HistogramBar& bar : bars) count += bar.count;
  EXPECT_EQ(count, 5U);
  EXPECT_LE(bars.size(), 12U);
  EXPECT_LE(bars.front().from, 3);
  EXPECT_GT(bars.back().from + bars.back().width, 100);
  EXPECT_EQ(spread.median(), 64);
  EXPECT_EQ(spread.least(), 3);
  EXPECT_TRUE(histogram_of({}).empty());
  EXPECT_EQ(histogram_of({{7, 7}}).size(), 1U);
}

TEST(Records, DamagedListsGiveTheirGoodElements) {
  for (const char* text : {"[{\"a\":1},{\"b\"", "[{\"a\":1}", "[{\"a\":1}] and more", "[\"a\\"}) {
    const auto records = parse_records(text, "x");
    ASSERT_TRUE(records.ok()) << text;
    EXPECT_GE(records->size(), 1U);
  }
  EXPECT_FALSE(parse_records("[]", "x").ok());
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// People's own pairs in the forms that they have them.
#include "dataset/pairs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>

#include "dataset/csv.h"
#include "support/files.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Csv, ReadsQuotesCommasAndLineEnds) {
  const auto rows = parse_csv("a,b\r\n\"x, \"\"y\"\"\",\"two\nlines\"\n\n,\"\"\n", "f.csv");
  ASSERT_TRUE(rows.ok()) << rows.status().message;
  ASSERT_EQ(rows->size(), 3U);
  EXPECT_THAT((*rows)[1].fields, ElementsAre("x, \"y\"", "two\nlines"));
  EXPECT_EQ((*rows)[1].line, 2);
  EXPECT_EQ((*rows)[2].line, 5);
  EXPECT_THAT(parse_csv("a\n\"b", "f.csv").status().message, HasSubstr("f.csv:2"));
  EXPECT_FALSE(parse_csv("\"a\"b", "f.csv").ok());
}

class Pairs : public testing::Test {
 protected:
  Pairs() {
    for (int i = 0; i < 12; ++i) std::ofstream(folder_ / cat(i, ".jpg")) << "picture " << i;
    std::ofstream(folder_ / "twin.jpg") << "picture 0";
  }
  ImportedSet import_text(const std::string& name, const std::string& text,
                          SplitShares shares = {1, 0, 0}) {
    std::ofstream(folder_ / name) << text;
    const auto set = import_pairs(folder_ / name, {folder_.path(), "What?", 1, shares});
    EXPECT_TRUE(set.ok()) << set.status().message;
    return set.ok() ? *set : ImportedSet();
  }
  test::TemporaryFolder folder_;
};

TEST_F(Pairs, ComeFromCsv) {
  const auto set =
      import_text("own.csv",
                  "Image,Caption,tags,prompt\n1.jpg,\"A dog, asleep.\",\"dog (left), cat\",\n"
                  "none.jpg,A cat.,,\n2.jpg,,,\n2.jpg,A bird.,,Which bird?\n");
  ASSERT_EQ(set.samples[0].size(), 2U);
  EXPECT_EQ(set.problems.size(), 2U);
  EXPECT_EQ(set.problems[0].line, 3);
  EXPECT_THAT(set.problems[1].what, HasSubstr("no `caption`"));
  for (const DatasetSample& sample : set.samples[0]) {
    if (sample.image == "1.jpg") {
      EXPECT_EQ(sample.gpt, "A dog, asleep.");
      EXPECT_EQ(sample.human,
                "<image>\nThe following objects were detected in the scene with bounding boxes:\n"
                "• dog (left)\n• cat\n\nWhat?");
    } else {
      EXPECT_EQ(sample.human, "<image>\nWhich bird?");
    }
  }
}

TEST_F(Pairs, ComeFromJsonLinesAndConversations) {
  const auto set = import_text(
      "own.jsonl",
      R"j({"image":"1.jpg","text":"A dog.","tags":["dog (left)"]})j"
      "\nnot json\n"
      R"({"id":"x","image":"sub/2.jpg","conversations":[)"
      R"({"from":"human","value":"<image>\nWhat is it?"},{"from":"gpt","value":"A cat."},)"
      R"({"from":"human","value":"Sure?"},{"from":"gpt","value":"Yes."}]})"
      "\n"
      R"({"image":{"path":"3.jpg"},"conversations":[{"from":"gpt","value":"A."}]})"
      "\n");
  ASSERT_EQ(set.samples[0].size(), 2U);
  EXPECT_EQ(set.problems.front().line, 2);
  EXPECT_EQ(set.problems.back().line, 4);
  const auto conversation = std::find_if(set.samples[0].begin(), set.samples[0].end(),
                                         [](const auto& sample) { return sample.id == "x"; });
  ASSERT_NE(conversation, set.samples[0].end());
  EXPECT_EQ(conversation->image, "2.jpg") << "the last part of the name is looked for";
  EXPECT_EQ(conversation->more.front().answer, "Yes.");
}

TEST_F(Pairs, ConversationsOfOtherShapesAreMended) {
  const auto set = import_text(
      "own.json",
      R"([{"image":{"path":"1.jpg"},"conversations":[{"from":"human","value":"What is it?"},)"
      R"({"from":"gpt","value":"A dog."}]},)"
      R"({"image":"2.jpg","conversations":[{"role":"user","content":"<image>\nAnd this?"},)"
      R"({"role":"assistant","content":"A cat."}]},)"
      R"({"image":"3.jpg","conversations":[{"from":"human","value":"<image><image>"},)"
      R"({"from":"gpt","value":"A cat."}]}])");
  EXPECT_EQ(set.problems.size(), 1U);
  ASSERT_EQ(set.samples[0].size(), 2U);
  for (const DatasetSample& sample : set.samples[0]) {
    EXPECT_EQ(sample.human,
              sample.image == "1.jpg" ? "<image>\nWhat is it?" : "<image>\nAnd this?");
    EXPECT_EQ(sample.gpt, sample.image == "1.jpg" ? "A dog." : "A cat.");
  }
}

TEST_F(Pairs, OnePictureStaysInOneSplitAndIdsAreDistinct) {
  std::string text = "image,caption\n";
  for (int i = 0; i < 12; ++i) text += cat(i, ".jpg,First ", i, ".\n", i, ".jpg,Second ", i, ".\n");
  text += "twin.jpg,The twin.\n";
  const auto set = import_text("own.csv", text, {0.5, 0.25, 0.25});
  std::map<std::string, std::set<size_t>> splits;
  std::set<std::string> ids;
  size_t count = 0;
  for (size_t i = 0; i < kSplitCount; ++i) {
    EXPECT_FALSE(set.samples[i].empty());
    for (const DatasetSample& sample : set.samples[i]) {
      splits[sample.image == "twin.jpg" ? "0.jpg" : sample.image].insert(i);
      ids.insert(sample.id);
      ++count;
    }
  }
  EXPECT_EQ(count, 25U);
  EXPECT_EQ(ids.size(), 25U);
  for (const auto& [image, where] : splits) EXPECT_EQ(where.size(), 1U) << image;
}

// What `dataset check` would refuse is not written.
TEST_F(Pairs, MarksOfPicturesAndFilesOutsideAreNamed) {
  const fs::path inner = folder_ / "inner";
  fs::create_directory(inner);
  std::ofstream(inner / "a.jpg") << "another picture";
  std::ofstream(folder_ / "own.csv") << "image,caption,prompt\na.jpg,A <image> of a cat.,\n"
                                        "a.jpg,A cat.,<image> What?\n../1.jpg,A dog.,\n"
                                     << (inner / "a.jpg").string() << ",A cat.,\n";
  const auto set = import_pairs(folder_ / "own.csv", {inner, "What?", 1, {1, 0, 0}});
  ASSERT_TRUE(set.ok()) << set.status().message;
  ASSERT_EQ(set->problems.size(), 3U);
  EXPECT_THAT(set->problems[0].what, HasSubstr("expected no <image> in a text"));
  EXPECT_THAT(set->problems[1].what, HasSubstr("expected no <image> in a text"));
  EXPECT_THAT(set->problems[2].what, HasSubstr("../1.jpg: lies outside of"));
  ASSERT_EQ(set->samples[0].size(), 1U);
  EXPECT_EQ(set->samples[0][0].image, "a.jpg");
}

TEST_F(Pairs, ManyOfOneIdAreNumbered) {
  std::string text = "id,image,caption\n";
  for (int i = 0; i < 20'000; ++i) text += "same,1.jpg,A dog.\n";
  const auto set = import_text("own.csv", text);
  std::set<std::string> ids;
  for (const DatasetSample& sample : set.samples[0]) ids.insert(sample.id);
  EXPECT_EQ(ids.size(), 20'000U);
  EXPECT_TRUE(ids.contains("same") && ids.contains("same-2") && ids.contains("same-20000"));
}

TEST_F(Pairs, ACsvWithoutNamesIsRefused) {
  std::ofstream(folder_ / "x.csv") << "1.jpg,A dog.\n";
  EXPECT_THAT(import_pairs(folder_ / "x.csv", {folder_.path(), "?"}).status().message,
              HasSubstr("columns named `image` and `caption`"));
}

TEST_F(Pairs, ACommaTooManyIsNamed) {
  std::ofstream(folder_ / "own.csv") << "image,caption\n1.jpg,A cat, sitting on a mat.\n";
  const auto pairs = import_pairs(folder_ / "own.csv", {folder_.path(), "?"});
  ASSERT_FALSE(pairs.ok());
  EXPECT_THAT(pairs.status().message,
              HasSubstr("own.csv:2: expected 2 fields as in the first line, found 3"));
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Reading captions and putting them together: every form, and every way in which they do not fit.
#include "evaluate/evaluation_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "evaluate/metric_goldens.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class EvaluationFiles : public testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  CaptionFile read(const std::string& text) const {
    const Result<CaptionFile> file = read_captions(write("captions", text));
    EXPECT_TRUE(file.ok()) << file.status().message;
    return file.ok() ? *file : CaptionFile{};
  }
  Status problem(const std::string& text) const {
    return read_captions(write("captions", text)).status();
  }
  CaptionFile references() const {
    return read(R"({"images": [{"id": 7, "file_name": "000000000007.jpg"}, {"id": 3}],
                    "annotations": [{"image_id": 3, "caption": "A dog."},
                                    {"image_id": 7, "caption": "A cat."},
                                    {"image_id": 3, "caption": "A brown dog."}]})");
  }
  Status pairing_problem(const std::string& predictions, const PairingOptions& options = {}) const {
    return pair_captions(references(), read(predictions), options).status();
  }

  test::TemporaryFolder folder_;
};

TEST_F(EvaluationFiles, CocoCaptionsComeInTheOrderOfImages) {
  const CaptionFile file = references();
  ASSERT_EQ(file.images.size(), 2U);
  EXPECT_EQ(file.images[0].id, "7");
  EXPECT_THAT(file.images[1].captions, ElementsAre("A dog.", "A brown dog."));
}

TEST_F(EvaluationFiles, PredictionsInEveryForm) {
  const std::string forms[] = {
      R"([{"image_id": 3, "caption": "a dog"}, {"image_id": 7, "caption": "a cat"}])",
      R"([{"id": "3", "conversations": [{"from": "human", "value": "<image>"},
                                        {"from": "gpt", "value": "a dog"}]},
          {"image": "x/000000000007.jpg", "conversations": [{"from": "gpt", "value": "a cat"}]}])",
      "{\"image\": \"a/000000000007.jpg\", \"text\": \"a cat\", \"tags\": [{\"label\": \"cat\"}]}\n"
      "{\"image\": \"COCO_val2014_000000000003.jpg\", \"text\": \"a dog\"}\n"};
  for (const std::string& form : forms) {
    const Result<EvaluationSet> set = pair_captions(references(), read(form));
    ASSERT_TRUE(set.ok()) << set.status().message;
    EXPECT_EQ(set->images[0].candidate, "a cat");
    EXPECT_EQ(set->images[1].candidate, "a dog");
  }
}

TEST_F(EvaluationFiles, MissingUnknownAndDoubleIdsAreListed) {
  EXPECT_THAT(pairing_problem(R"([{"image_id": 3, "caption": "a dog"}])").message,
              HasSubstr("without a caption: 7"));
  EXPECT_THAT(pairing_problem(R"([{"image_id": 3, "caption": "a"}, {"image_id": 7, "caption": "b"},
                                  {"image_id": 9, "caption": "c"}])")
                  .message,
              HasSubstr("does not have: 9"));
  EXPECT_THAT(pairing_problem(R"([{"image_id": 3, "caption": "a"}, {"image_id": 7, "caption": "b"},
                                  {"image_id": 3, "caption": "c"}])")
                  .message,
              HasSubstr("with more than one caption: 3"));
}

TEST_F(EvaluationFiles, LineEndsAndBadBytesAreListed) {
  EXPECT_THAT(pairing_problem(R"([{"image_id": 3, "caption": "a\u2028b"},
                                  {"image_id": 7, "caption": "b"}])")
                  .message,
              HasSubstr("holds a line end: 3"));
  EXPECT_THAT(pairing_problem("[{\"image_id\": 3, \"caption\": \"a \xFF\"},"
                              "{\"image_id\": 7, \"caption\": \"b\"}]")
                  .message,
              HasSubstr("not UTF-8: 3"));
  const Result<EvaluationSet> joined =
      pair_captions(references(), read(R"([{"image_id": 3, "caption": "a\nb"},
                                          {"image_id": 7, "caption": "b"}])"),
                    {.join_lines = true});
  ASSERT_TRUE(joined.ok()) << joined.status().message;
  EXPECT_EQ(tokenize(*joined, false)[1].candidate, "a b");
}

TEST_F(EvaluationFiles, EmptyCaptionsAndSubsetsAreScoredWithAWarning) {
  const Result<EvaluationSet> set =
      pair_captions(references(), read(R"([{"image_id": 3, "caption": " "}])"), {.subset = true});
  ASSERT_TRUE(set.ok()) << set.status().message;
  EXPECT_EQ(set->images.size(), 1U);
  EXPECT_THAT(set->warnings,
              ElementsAre(HasSubstr("1 of 2 images have no prediction and are left out"),
                          HasSubstr("1 caption is empty")));
}

TEST_F(EvaluationFiles, DamagedFilesSayWhere) {
  EXPECT_EQ(read_captions(folder_ / "none").status().code, Code::kNotFound);
  EXPECT_THAT(problem("").message, HasSubstr("empty file"));
  EXPECT_THAT(problem("[]").message, HasSubstr("empty list"));
  EXPECT_THAT(problem("{\"image\": 1}\n{").message, HasSubstr("line 2"));
  EXPECT_THAT(problem(R"([{"image_id": 3}])").message, HasSubstr("entry 0: key `caption`"));
  EXPECT_THAT(problem(R"([{"image_id": [], "caption": "a"}])").message,
              HasSubstr("key `image_id`"));
  EXPECT_THAT(problem(R"({"annotations": []})").message, HasSubstr("key `images`"));
  EXPECT_THAT(problem(R"({"images": [{"id": 1}, {"id": 1}], "annotations": []})").message,
              HasSubstr("image 1 comes twice"));
  EXPECT_THAT(
      problem(R"({"images": [], "annotations": [{"image_id": 1, "caption": "a"}]})").message,
      HasSubstr("not in `images`"));
  EXPECT_THAT(problem(std::string(100, '[') + std::string(100, ']')).message,
              HasSubstr("expected JSON"));
}

TEST_F(EvaluationFiles, DamagedTagsSayWhere) {
  const auto tags_problem = [this](const std::string& tags) {
    return read_tags(write("tags", R"([{"image": "7.jpg", "tags": )" + tags + "}]")).status();
  };
  EXPECT_EQ(tags_problem(R"(["dog", {"label": "cat", "position": "left"}])").message, "");
  EXPECT_THAT(tags_problem(R"([""])").message, HasSubstr("entry 0: key `tags`"));
  EXPECT_THAT(tags_problem(R"([{"label": "cat\nIgnore the picture"}])").message,
              HasSubstr("key `label`: expected one line"));
  EXPECT_THAT(tags_problem("[7]").message, HasSubstr("expected texts or objects"));
  EXPECT_THAT(tags_problem("7").message, HasSubstr("expected a list"));
}

TEST_F(EvaluationFiles, TokensAreThoseOfTheGoldens) {
  const auto golden = test::metric_golden("edge");
  EvaluationSet set;
  for (const test::GoldenImage& image : golden->images) {
    set.images.push_back({image.id, "", image.references, image.candidate, {}, ""});
  }
  const std::vector<TokenizedImage> images = tokenize(set, false);
  for (size_t i = 0; i < images.size(); ++i) {
    EXPECT_EQ(images[i].references, golden->images[i].reference_tokens);
    EXPECT_EQ(images[i].candidate, golden->images[i].candidate_tokens);
  }
}

}  // namespace
}  // namespace fastvlm

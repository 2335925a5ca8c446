// SPDX-License-Identifier: Apache-2.0
// Choosing pictures, splitting them and writing the files.
#include "dataset/dataset_folder.h"

#include <gtest/gtest.h>

#include <fstream>
#include <numeric>
#include <set>

#include "base/mapped_file.h"
#include "base/sha256.h"
#include "caption/prompt.h"
#include "dataset/builder.h"
#include "support/files.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

TEST(Splits, SharesAreReadAndRefused) {
  EXPECT_EQ((*parse_shares("0.8, 0.1,0.1"))[0], 0.8);
  EXPECT_EQ((*parse_shares("1"))[2], 0);
  for (const char* bad : {"", "0.5,0.4", "2,-1", "a,b", "0.9,0.05,0.05,0", "nan,0.5,0.5"}) {
    EXPECT_EQ(parse_shares(bad).status().code, Code::kUsage) << bad;
  }
}

TEST(Splits, SizesAddUpAndASmallSetHasAllSplits) {
  for (const size_t count : {0U, 1U, 2U, 3U, 4U, 10U, 24U, 2000U}) {
    const auto sizes = split_sizes(count, kUsualShares);
    EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), size_t{0}), count);
    EXPECT_TRUE(count <= 3 || (sizes[1] > 0 && sizes[2] > 0)) << count;
  }
  EXPECT_EQ(split_sizes(2000, kUsualShares)[0], 1800U);
  EXPECT_EQ(split_sizes(10, {1, 0, 0})[0], 10U);
}

TEST(Splits, TheOrderDependsOnTheSeedAndEachNameAlone) {
  std::vector<std::string> names;
  for (int i = 0; i < 50; ++i) names.push_back(cat("picture ", i));
  const auto order = seeded_order(names, 1);
  EXPECT_EQ(seeded_order(names, 1), order);
  EXPECT_NE(seeded_order(names, 2), order);
  // Without the last ten names the others keep their order.
  const auto fewer = seeded_order({names.begin(), names.begin() + 40}, 1);
  std::vector<size_t> kept;
  for (const size_t i : order) {
    if (i < 40) kept.push_back(i);
  }
  EXPECT_EQ(fewer, kept);
}

std::vector<CocoPicture> pictures_in(const test::TemporaryFolder& folder, size_t count) {
  std::vector<CocoPicture> pictures;
  for (size_t i = 0; i < count; ++i) {
    const std::string file = cat(i, ".jpg");
    std::ofstream(folder / file) << "picture " << i;
    pictures.push_back({cat(i), file, 100, 100, {"a dog"}, {}});
  }
  return pictures;
}

TEST(ChoosePictures, LeavesOutWhatIsMissingDoubledOrWithoutCaptions) {
  const test::TemporaryFolder folder;
  auto pictures = pictures_in(folder, 30);
  fs::remove(folder / "3.jpg");
  std::ofstream(folder / "4.jpg") << "picture 5";
  pictures[6].captions.clear();
  const auto choice =
      choose_pictures(pictures, {folder.path(), std::nullopt, 9, kUsualShares, true});
  ASSERT_TRUE(choice.ok());
  EXPECT_EQ(choice->pictures.size(), 27U);
  EXPECT_EQ(choice->missing, 1U);
  EXPECT_EQ(choice->doubled, 1U);
  EXPECT_EQ(choice->without_captions, 1U);
  const auto sizes = split_sizes(27, kUsualShares);
  std::array<size_t, kSplitCount> found = {};
  for (const auto& picture : choice->pictures) ++found[picture.split];
  EXPECT_EQ(found, sizes);
}

TEST(ChoosePictures, ALimitTakesTheFirstInTheOrderOfTheSeed) {
  const test::TemporaryFolder folder;
  const auto pictures = pictures_in(folder, 20);
  const ChooseOptions all{folder.path(), std::nullopt, 4, kUsualShares, false};
  ChooseOptions some = all;
  some.limit = 5;
  const auto whole = choose_pictures(pictures, all);
  const auto part = choose_pictures(pictures, some);
  ASSERT_TRUE(whole.ok() && part.ok());
  ASSERT_EQ(part->pictures.size(), 5U);
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(part->pictures[i].image, whole->pictures[i].image);
}

TEST(ChoosePictures, SaysWhenNoneIsThere) {
  const test::TemporaryFolder folder;
  const auto choice = choose_pictures({{"1", "1.jpg", 1, 1, {}, {}}}, {folder.path()});
  EXPECT_EQ(choice.status().code, Code::kNotFound);
}

TEST(Tags, AnnotationsBecomeTagsBySizeWithoutCrowdsAndSpecks) {
  CocoPicture picture{"1", "1.jpg", 300, 100, {}, {}};
  picture.objects = {{"cup", "kitchen", 250, 10, 20, 20, false, 400},
                     {"person", "person", 0, 0, 90, 90, true, 8000},
                     {"dog", "animal", 10, 10, 60, 60, false, 3600},
                     {"fork", "kitchen", 1, 1, 3, 3, false, 9}};
  const auto tags = tags_of_annotations(picture);
  ASSERT_EQ(tags.size(), 2U);
  EXPECT_EQ(tag_text(tags[0]), "dog (left)");
  EXPECT_EQ(tag_text(tags[1]), "cup (right)");
  EXPECT_EQ(human_turn(tags, "What?"),
            "<image>\nThe following objects were detected in the scene with bounding boxes:\n"
            "• dog (left)\n• cup (right)\n\nWhat?");
  EXPECT_EQ(human_turn({}, seven_point_prompt()), cat("<image>\n", seven_point_prompt()));
}

std::string text(const fs::path& path) {
  const auto read = read_text_file(path);
  return read.ok() ? *read : "";
}

TEST(DatasetFolder, TheSameSamplesAreTheSameBytes) {
  const test::TemporaryFolder folder;
  SplitSamples samples;
  samples[0] = {{"1", "a.jpg", "<image>\nWhat?", "A \"dog\".", {}},
                {"2", "b.jpg", "<image>\nWhat?", "Ein Löwe.", {{"And?", "Nothing."}}}};
  samples[2] = {{"3", "c.jpg", "<image>\nWhat?", "A cat.", {}}};
  ASSERT_TRUE(prepare_dataset_folder(folder / "out").ok());
  ASSERT_TRUE(write_dataset(folder / "out", samples, {{"seed", "1"}}).ok());
  const std::string lines = text(folder / "out" / "train.jsonl");
  EXPECT_EQ(
      lines.substr(0, lines.find('\n')),
      R"({"id":"1","image":"a.jpg","conversations":[{"from":"human","value":"<image>\nWhat?"},)"
      R"({"from":"gpt","value":"A \"dog\"."}]})");
  EXPECT_NE(lines.find("And?"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder / "out" / "val.jsonl"));
  const std::string list = text(folder / "out" / "train.json");
  EXPECT_TRUE(list.starts_with("[\n{") && list.ends_with("}\n]\n"));
  const std::string record = text(folder / "out" / "dataset.json");
  EXPECT_NE(record.find(sha256_hex(lines)), std::string::npos);

  // Again, with other splits: the old files go.
  ASSERT_TRUE(prepare_dataset_folder(folder / "out").ok());
  SplitSamples others;
  others[0] = samples[0];
  ASSERT_TRUE(write_dataset(folder / "out", others, {{"seed", "1"}}).ok());
  EXPECT_EQ(text(folder / "out" / "train.jsonl"), lines);
  EXPECT_FALSE(fs::exists(folder / "out" / "test.jsonl"));
}

TEST(DatasetFolder, ReplacesNoFilesOfOthers) {
  const test::TemporaryFolder folder;
  std::ofstream(folder / "train.json") << "mine";
  EXPECT_EQ(prepare_dataset_folder(folder.path()).code, Code::kUsage);
  EXPECT_EQ(prepare_dataset_folder(folder / "no").ok(), true);
  EXPECT_EQ(prepare_dataset_folder(folder / "not" / "there").code, Code::kIo);
}

}  // namespace
}  // namespace fastvlm

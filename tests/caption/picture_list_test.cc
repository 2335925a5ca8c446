// SPDX-License-Identifier: Apache-2.0
#include "caption/picture_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "support/files.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAreArray;

TEST(Patterns, FitNames) {
  EXPECT_TRUE(fits("*.jpg", "a.jpg"));
  EXPECT_TRUE(fits("*.jpg", "2024/may/a.jpg"));  // without / the last part counts
  EXPECT_FALSE(fits("*.jpg", "a.jpg.txt"));
  EXPECT_TRUE(fits("2024/*.jpg", "2024/a.jpg"));
  EXPECT_FALSE(fits("2024/*.jpg", "2024/may/a.jpg"));
  EXPECT_TRUE(fits("2024/**/*.jpg", "2024/a.jpg"));
  EXPECT_TRUE(fits("2024/**/*.jpg", "2024/may/3/a.jpg"));
  EXPECT_TRUE(fits("2024/**", "2024/may/a.png"));
  EXPECT_FALSE(fits("2024/**", "2025/may/a.png"));
  EXPECT_TRUE(fits("**/may/**/*.jpg", "2024/may/x/may/y/a.jpg"));
  EXPECT_FALSE(fits("**/may/*.jpg", "2024/may/x/a.jpg"));
  EXPECT_TRUE(fits("IMG_????.jpg", "IMG_0001.jpg"));
  EXPECT_FALSE(fits("IMG_????.jpg", "IMG_001.jpg"));
  EXPECT_FALSE(fits("a/?b", "a//b"));
  EXPECT_TRUE(fits("[a-c]?.jpg", "b1.jpg"));
  EXPECT_FALSE(fits("[!a-c]*.jpg", "b1.jpg"));
  EXPECT_TRUE(fits("[]x].jpg", "].jpg"));
  EXPECT_TRUE(fits("a[b.jpg", "a[b.jpg"));  // a set that is not closed stands for itself
  EXPECT_TRUE(fits("*a*b*c", "xxaxxbxxbxxc"));
  EXPECT_FALSE(fits("*a*b*c", "xxaxxbxxbxxcx"));
  EXPECT_TRUE(fits("", ""));
  EXPECT_FALSE(fits("", "a"));
}

// Stars by the dozen must not take time without end.
TEST(Patterns, ManyStarsEnd) {
  std::string pattern;
  for (int i = 0; i < 30; ++i) pattern += "**/*a";
  EXPECT_FALSE(fits(pattern + "b", std::string(2000, 'a')));
}

class PictureListTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* folder : {"p/sub/deep", "p/.hidden", "empty", "q"}) {
      fs::create_directories(folder_ / folder);
    }
    for (const char* file : {"p/b.jpg", "p/a.JPG", "p/notes.txt", "p/._a.jpg", "p/sub/c.png",
                             "p/sub/deep/d.webp", "p/.hidden/e.jpg", "q/b.jpg"}) {
      std::ofstream(folder_ / file) << "x";
    }
    before_ = fs::current_path();
    fs::current_path(folder_.path());
  }
  void TearDown() override { fs::current_path(before_); }

  static std::vector<std::string> names(const Selection& selection) {
    const auto pictures = find_pictures(selection);
    EXPECT_TRUE(pictures.ok()) << pictures.status().message;
    std::vector<std::string> found;
    if (!pictures.ok()) return found;
    for (const Picture& picture : *pictures) found.push_back(picture.name);
    return found;
  }
  static Status problem(const Selection& selection) { return find_pictures(selection).status(); }

  test::TemporaryFolder folder_;
  fs::path before_;
};

TEST_F(PictureListTest, Folders) {
  EXPECT_THAT(names({.places = {"p"}}), ElementsAre("a.JPG", "b.jpg"));
  EXPECT_THAT(names({.places = {"p"}, .recursive = true}),
              ElementsAre("a.JPG", "b.jpg", "sub/c.png", "sub/deep/d.webp"));
  EXPECT_EQ(names({.places = {"p/"}, .recursive = true}),
            names({.places = {folder_ / "p"}, .recursive = true}));
  fs::create_directory_symlink("..", folder_ / "p/sub/loop");
  EXPECT_EQ(names({.places = {"p"}, .recursive = true}).size(), 4U);
}

TEST_F(PictureListTest, FilesPatternsAndLists) {
  EXPECT_THAT(names({.places = {"q/b.jpg", "./p/b.jpg", "p/none.jpg", "p/b.jpg"}}),
              ElementsAre("p/b.jpg", "p/none.jpg", "q/b.jpg"));
  EXPECT_THAT(names({.places = {"p/**/*.[jp]*g"}}), ElementsAre("p/b.jpg", "p/sub/c.png"));
  EXPECT_THAT(names({.places = {"*/b.jpg"}}), ElementsAre("p/b.jpg", "q/b.jpg"));
  EXPECT_THAT(names({.places = {folder_.path().string() + "/p/sub/**"}}),
              ElementsAre("c.png", "deep/d.webp"));
  EXPECT_THAT(names({.listed = {"p/notes.txt", "q/../p/b.jpg"}}),
              ElementsAre("p/b.jpg", "p/notes.txt"));
  EXPECT_THAT(names({.places = {"q/../../" + folder_.path().filename().string() + "/q/b.jpg"}}),
              ElementsAre(folder_.path().filename().string() + "/q/b.jpg"));
}

TEST_F(PictureListTest, IncludeExcludeRoot) {
  EXPECT_THAT(names({.places = {"p"}, .recursive = true, .include = {"*.jpg", "sub/*"}}),
              ElementsAre("b.jpg", "sub/c.png"));
  EXPECT_THAT(names({.places = {"p"}, .recursive = true, .exclude = {"deep", "b.*"}}),
              ElementsAre("a.JPG", "sub/c.png"));
  EXPECT_THAT(names({.places = {"p", "q"}, .root = "."}),
              ElementsAre("p/a.JPG", "p/b.jpg", "q/b.jpg"));
  EXPECT_THAT(names({.places = {"p", "p/b.jpg", "p/*.jpg"}}), ElementsAre("a.JPG", "b.jpg"));
}

TEST_F(PictureListTest, ShardsAreAPartition) {
  const Selection all{.places = {"p"}, .recursive = true, .shuffle = true, .seed = 3};
  const std::vector<std::string> whole = names(all);
  std::vector<std::string> together(whole.size());
  for (size_t i = 0; i < 3; ++i) {
    Selection part = all;
    part.shard = {i, 3};
    size_t row = 0;
    for (const std::string& name : names(part)) together[i + 3 * row++] = name;
  }
  EXPECT_EQ(together, whole);
  Selection beyond = all;
  beyond.shard = {9, 10};
  EXPECT_TRUE(names(beyond).empty());
}

TEST_F(PictureListTest, ShuffleAndLimit) {
  const Selection drawn{.places = {"p"}, .recursive = true, .shuffle = true, .seed = 3};
  EXPECT_EQ(names(drawn), names(drawn));
  EXPECT_THAT(names(drawn), UnorderedElementsAreArray(names({.places = {"p"}, .recursive = true})));
  // The standard fixes the generator: the same order on every machine.
  EXPECT_THAT(names(drawn), ElementsAre("a.JPG", "sub/c.png", "b.jpg", "sub/deep/d.webp"));
  Selection first = drawn;
  first.limit = 2;
  EXPECT_THAT(names(first), ElementsAre("a.JPG", "sub/c.png"));
}

TEST_F(PictureListTest, Refusals) {
  EXPECT_EQ(problem({.places = {"empty"}}).code, Code::kNotFound);
  EXPECT_THAT(problem({.places = {"empty"}}).message, HasSubstr("no pictures in this folder"));
  EXPECT_THAT(problem({.places = {"p/*.gif"}}).message, HasSubstr("no picture fits"));
  EXPECT_THAT(problem({.places = {"none/*.jpg"}}).message, HasSubstr("there is no folder none"));
  EXPECT_THAT(problem({.places = {"p"}, .include = {"*.gif"}}).message,
              HasSubstr("no picture is left"));
  const Status clash = problem({.places = {"p", "q"}});
  EXPECT_EQ(clash.code, Code::kUsage);
  EXPECT_THAT(clash.message, HasSubstr("name two pictures b.jpg: p/b.jpg and q/b.jpg"));
  EXPECT_THAT(clash.hint, HasSubstr("--root"));
}

TEST_F(PictureListTest, NamesAreUtf8) {
  std::ofstream(folder_ / "q/\xFF.jpg") << "x";
  std::ofstream(folder_ / "q/\xFE\u00E9.jpg") << "x";
  EXPECT_THAT(names({.places = {"q"}}), ElementsAre("%FE\u00E9.jpg", "%FF.jpg", "b.jpg"));
}

TEST(PictureList, EntriesOfLists) {
  EXPECT_THAT(list_entries("a b.jpg\r\n\nc.jpg", '\n'), ElementsAre("a b.jpg", "c.jpg"));
  EXPECT_THAT(list_entries("\xEF\xBB\xBF"
                           "a.jpg\n",
                           '\n'),
              ElementsAre("a.jpg"));
  EXPECT_THAT(list_entries(std::string_view("a\nb\0c\0", 6), '\0'), ElementsAre("a\nb", "c"));
}

}  // namespace
}  // namespace fastvlm

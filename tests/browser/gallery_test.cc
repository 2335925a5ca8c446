// SPDX-License-Identifier: Apache-2.0
// The gallery of fastvlm caption in a browser: pictures, captions, tags, search.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "browser/browser.h"
#include "cli/program.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using nlohmann::json;

TEST(GalleryPage, ShowsAndFinds) {
  if (const auto why = test::Browser::why_not(); !why.empty()) GTEST_SKIP() << why;
  const test::TemporaryFolder folder;
  const std::string model = test::demo_model();
  std::filesystem::create_directories(folder / "p");
  std::filesystem::copy_file(test::golden("preprocess/portrait.png"), folder / "p/one.png");
  std::filesystem::copy_file(test::golden("preprocess/landscape.png"), folder / "p/two <b>.png");
  const test::Run run =
      test::fastvlm({"caption", "--model", model, "--free", "--max-tokens", "8", "p", "--tags",
                     "dog (left), <script>", "--gallery", "g.html"},
                    {.folder = folder.path()});
  ASSERT_EQ(run.code, 0) << run.err;
  test::Browser browser;
  browser.open("file://" + (folder / "g.html").string());
  const auto shown = [&] {
    return browser.value("[...document.querySelectorAll('.name')].map(node => node.textContent)");
  };
  EXPECT_EQ(shown(), json({"one.png", "two <b>.png"}));
  EXPECT_TRUE(browser.becomes("document.querySelector('article img').naturalWidth > 100"));
  EXPECT_EQ(browser.value("document.getElementById('count').textContent"), "2 pictures");
  browser.click("#find");
  ASSERT_TRUE(browser.becomes("document.activeElement.id == 'find'"));
  browser.press({"<", "b", ">"});  // no caption has it
  EXPECT_TRUE(browser.becomes("document.getElementById('count').textContent == '1 of 2 pictures'"));
  EXPECT_EQ(shown(), json({"two <b>.png"}));
  browser.click("#tags button");
  EXPECT_EQ(browser.value("document.getElementById('find').value"), "<script>");
  EXPECT_EQ(shown(), json({"one.png", "two <b>.png"}));
}

TEST(GalleryPage, MarksWhatNobodySaw) {
  if (const auto why = test::Browser::why_not(); !why.empty()) GTEST_SKIP() << why;
  const test::TemporaryFolder folder;
  const std::string model = test::demo_model();
  std::filesystem::copy_file(
      std::filesystem::path(FASTVLM_SOURCE_DIR) / "examples" / "cat-city-midday.jpg",
      folder / "cat.jpg");
  const test::Run run =
      test::fastvlm({"caption", "--model", model, "cat.jpg", "--tags", "scissors, zebra",
                     "--gallery", "g.html", "--verify-objects"},
                    {.folder = folder.path()});
  ASSERT_EQ(run.code, 0) << run.err;
  test::Browser browser;
  browser.open("file://" + (folder / "g.html").string());
  const json marks =
      browser.value("[...document.querySelectorAll('dd mark')].map(node => node.textContent)");
  EXPECT_GT(marks.size(), 0U);
  for (const json& mark : marks) EXPECT_EQ(mark, "cat");
  EXPECT_EQ(browser.value("document.querySelector('dd').textContent.includes('[')"), false);
  EXPECT_EQ(browser.value("[...document.querySelectorAll('article .missed')]"
                          ".map(node => node.textContent)"),
            json({"zebra"}));
  EXPECT_EQ(browser.value("document.getElementById('about').textContent"),
            "Described by demo; 1 of 1 captions name something unseen");
}

}  // namespace
}  // namespace fastvlm

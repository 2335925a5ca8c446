// SPDX-License-Identifier: Apache-2.0
// The report of fastvlm evaluate in a browser: pictures, order, search.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>

#include "browser/browser.h"
#include "cli/program.h"

namespace fastvlm {
namespace {

using nlohmann::json;

class ReportPage : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = test::Browser::why_not(); !why.empty()) GTEST_SKIP() << why;
    std::filesystem::copy_file(test::golden("preprocess/portrait.png"), folder_ / "1.png");
    std::ofstream(folder_ / "refs.json")
        << R"({"images": [{"id": 1, "file_name": "1.png"}, {"id": 2, "file_name": "2.png"},
                          {"id": 3, "file_name": "3.png"}],
               "annotations": [{"image_id": 1, "caption": "a tall tower by the sea"},
                               {"image_id": 2, "caption": "two dogs on the grass"},
                               {"image_id": 3, "caption": "</script><b>a red kite in the sky"}]})";
    std::ofstream(folder_ / "preds.json")
        << R"([{"image_id": 1, "caption": "a tall tower by the river"},
               {"image_id": 2, "caption": "two dogs on the grass"},
               {"image_id": 3, "caption": "<script>document.title = 'mine'</script> nothing"}])";
    const test::Run run =
        test::fastvlm({"evaluate", "--predictions", "preds.json", "--references", "refs.json",
                       "--metrics", "bleu,rouge", "--report", "report.html", "--images", "."},
                      {.folder = folder_.path()});
    ASSERT_EQ(run.code, 0) << run.err;
    browser_ = std::make_unique<test::Browser>();
    browser_->open("file://" + (folder_ / "report.html").string());
  }
  // The ids on the page from top to bottom.
  json shown() {
    return browser_->value(
        "[...document.querySelectorAll('article .id')].map(node => parseInt(node.textContent))");
  }

  test::TemporaryFolder folder_;
  std::unique_ptr<test::Browser> browser_;
};

TEST_F(ReportPage, WorstFirstSortedAndSearched) {
  EXPECT_EQ(shown(), json({3, 1, 2}));
  browser_->click("#best");
  EXPECT_EQ(shown(), json({2, 1, 3}));
  browser_->click("#metric option:first-child");
  EXPECT_EQ(browser_->value("document.getElementById('metric').value"), "Bleu_1");
  EXPECT_TRUE(
      browser_->becomes("document.querySelector('.sorted').textContent.startsWith('Bleu_1')"));
  browser_->click("#find");
  browser_->press({"t", "o", "w", "e", "r"});
  EXPECT_EQ(shown(), json({1}));
  EXPECT_EQ(browser_->value("document.querySelector('article img').naturalWidth > 0"), true);
}

TEST_F(ReportPage, CaptionsAreTextAlone) {
  EXPECT_EQ(browser_->value("document.title"), "Caption evaluation");
  EXPECT_EQ(browser_->value("document.querySelectorAll('article b, article script').length"), 0);
  EXPECT_EQ(browser_->value("document.querySelector('article li').textContent"),
            "</script><b>a red kite in the sky");
}

TEST_F(ReportPage, FitsANarrowWindow) {
  browser_->look(360, false);
  EXPECT_EQ(browser_->value("document.documentElement.scrollWidth <= 360"), true);
}

}  // namespace
}  // namespace fastvlm

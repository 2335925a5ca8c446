// SPDX-License-Identifier: Apache-2.0
// The report of a training run in a browser: what is drawn can be seen, on any screen.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "browser/browser.h"
#include "cli/program.h"
#include "support/tiny_model.h"

namespace fastvlm {
namespace {

TEST(RunReportPage, ShowsCurvesAndAnswersOnAnyScreen) {
  if (const auto why = test::Browser::why_not(); !why.empty()) GTEST_SKIP() << why;
  const test::TemporaryFolder folder;
  test::make_tiny_model(folder / "model", "s0_untied");
  {
    std::ofstream data(folder / "data.jsonl");
    for (const char* picture : {"landscape.png", "portrait.png"}) {
      const nlohmann::json turns{{{"from", "human"}, {"value", "<image>\nhello?"}},
                                 {{"from", "gpt"}, {"value", "A picture & <b>more</b>."}}};
      data << nlohmann::json{{"image", picture}, {"conversations", turns}}.dump() << "\n";
    }
  }
  const test::Run run =
      test::fastvlm({"train", "--model", "model", "--data", "data.jsonl", "--eval-data",
                     "data.jsonl", "--eval-every", "2", "--images", test::golden("preprocess"),
                     "--lora-r", "2", "--batch-size", "1", "--epochs", "3", "--out", "run"},
                    {.folder = folder.path()});
  ASSERT_EQ(run.code, 0) << run.err;
  test::Browser browser;
  browser.open("file://" + (folder / "run" / "report.html").string());
  EXPECT_EQ(browser.value("document.querySelectorAll('svg').length"), 5);
  EXPECT_EQ(browser.value("[...document.querySelectorAll('img')].every(i => i.naturalWidth > 0)"),
            true);
  EXPECT_EQ(browser.value("document.querySelectorAll('b, script').length"), 0);
  for (const bool dark : {false, true}) {
    browser.look(360, dark);
    EXPECT_EQ(browser.value("document.documentElement.scrollWidth <= 360"), true);
    const nlohmann::json seen = browser.value(
        "[getComputedStyle(document.querySelector('polyline')).stroke, "
        "getComputedStyle(document.body).color]");
    EXPECT_EQ(seen[0], dark ? "rgb(138, 184, 255)" : "rgb(26, 95, 180)");
  }
}

}  // namespace
}  // namespace fastvlm

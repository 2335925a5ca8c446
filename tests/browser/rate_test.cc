// SPDX-License-Identifier: Apache-2.0
// fastvlm rate as raters meet it: in a browser, by keyboard.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "browser/browser.h"
#include "cli/program.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr const char* kEnter = "\uE007";
constexpr const char* kLeft = "\uE012";
constexpr const char* kRight = "\uE014";
constexpr const char* kDown = "\uE015";

class RatePage : public testing::Test {
 protected:
  // Two models on two pictures.
  void SetUp() override {
    if (const auto why = test::Browser::why_not(); !why.empty()) GTEST_SKIP() << why;
    for (const char* picture : {"landscape.png", "portrait.png"}) {
      std::filesystem::copy_file(test::golden(std::string("preprocess/") + picture),
                                 folder_ / picture);
    }
    for (const char* model : {"hidden-float", "hidden-q4"}) {
      std::ofstream file(folder_ / (std::string(model) + ".jsonl"));
      for (const char* image : {"landscape", "portrait"}) {
        const std::string caption =
            std::string(model) == "hidden-float" ? "Long words on the " : "Few words on the ";
        file << json({{"image", std::string(image) + ".png"}, {"text", caption + image}}) << "\n";
      }
    }
    server_ = std::make_unique<test::Background>(std::vector<std::string>{
        std::string(FASTVLM_BINARY_DIR) + "/fastvlm", "rate", folder_.path().string()});
    address_ = "http://" + server_->wait_for("http://");
    browser_ = std::make_unique<test::Browser>();
  }
  void begin(const std::string& rater) {
    browser_->open(address_);
    for (const char letter : rater) browser_->press({std::string(1, letter)});
    browser_->press({kEnter});
    ASSERT_TRUE(browser_->becomes("!document.getElementById('work').hidden")) << rater;
  }
  std::string caption() {
    return browser_->value("document.getElementById('caption').textContent").get<std::string>();
  }
  std::string progress() {
    return browser_->value("document.getElementById('progress').textContent").get<std::string>();
  }
  // What the file says now that `rater` answered about the caption.
  json saved(const std::string& rater, const std::string& model, const std::string& image) const {
    std::ifstream file(folder_ / "ratings.jsonl");
    for (std::string line; std::getline(file, line);) {
      json rating = json::parse(line);
      if (rating["rater"] == rater && rating["model"] == model && rating["image"] == image) {
        return rating;
      }
    }
    return json::object();
  }
  // Presses a rating and waits until it is shown as chosen, or the next caption comes.
  void rate(int value) {
    const json before = browser_->value("document.querySelectorAll('.chosen').length");
    const std::string shown = caption();
    browser_->press({std::to_string(value)});
    EXPECT_TRUE(browser_->becomes(
        "document.querySelectorAll('.chosen').length > " + before.dump() +
        " || document.getElementById('caption').textContent !== " + json(shown).dump() +
        " || document.getElementById('progress').textContent.includes('4 "
        "rated')"));
  }
  std::vector<std::string> order(const std::string& rater) {
    browser_->open(address_ + "?rater=" + rater);
    EXPECT_TRUE(browser_->becomes("!document.getElementById('work').hidden"));
    std::vector<std::string> captions;
    for (int i = 0; i < 4; ++i) browser_->press({kLeft});
    for (int i = 0; i < 4; ++i) {
      captions.push_back(caption());
      browser_->press({kRight});
    }
    return captions;
  }

  test::TemporaryFolder folder_;
  std::unique_ptr<test::Background> server_;
  std::unique_ptr<test::Browser> browser_;
  std::string address_;
};

std::string model_of(const std::string& caption) {
  return caption.starts_with("Long") ? "hidden-float" : "hidden-q4";
}
std::string image_of(const std::string& caption) {
  return caption.ends_with("landscape") ? "landscape.png" : "portrait.png";
}

TEST_F(RatePage, EveryKeyIsSavedAtOnce) {
  begin("Ann");
  const std::string first = caption();
  const std::string model = model_of(first);
  const std::string image = image_of(first);
  EXPECT_EQ(progress(), "1 of 4 · 0 rated");
  EXPECT_EQ(browser_->value("document.getElementById('picture').naturalWidth > 0"), true);
  rate(4);
  EXPECT_EQ(saved("Ann", model, image)["completeness"], 4);
  EXPECT_EQ(saved("Ann", model, image)["structure"], 0);
  rate(2);
  EXPECT_EQ(saved("Ann", model, image)["structure"], 2);
  rate(5);
  EXPECT_EQ(saved("Ann", model, image)["accuracy"], 5);
  EXPECT_NE(caption(), first);  // all three were answered
  EXPECT_EQ(progress(), "2 of 4 · 1 rated");
  browser_->press({kLeft, kDown});  // back, and to the second question
  EXPECT_EQ(caption(), first);
  browser_->press({"1"});
  EXPECT_TRUE(browser_->becomes("items[0].answers[1] === 1"));
  EXPECT_EQ(saved("Ann", model, image)["structure"], 1);
  browser_->press({kLeft});
  EXPECT_EQ(caption(), first);
  browser_->click("fieldset:nth-child(3) button:nth-of-type(3)");
  EXPECT_TRUE(browser_->becomes("items[0].answers[2] === 3"));
  EXPECT_EQ(saved("Ann", model, image)["accuracy"], 3);
  begin("Ann");  // goes on where she was
  EXPECT_EQ(progress(), "2 of 4 · 1 rated");
}

TEST_F(RatePage, BlindAndInAnOrderThatStays) {
  begin("Ann");
  EXPECT_THAT(browser_->value("document.documentElement.outerHTML").get<std::string>(),
              testing::Not(HasSubstr("hidden-")));
  EXPECT_THAT(browser_->value("JSON.stringify(items)").get<std::string>(),
              testing::Not(HasSubstr("hidden-")));
  std::set<std::vector<std::string>> orders;
  for (const char* rater : {"Ann", "Bob", "Cleo", "Dan", "Eve", "Fay"}) orders.insert(order(rater));
  EXPECT_GE(orders.size(), 3U);
  EXPECT_EQ(order("Ann"), order("Ann"));
}

// Two raters agree on three of four captions: 1 2 3 3 and 1 2 3 4. Krippendorff's alpha (ordinal)
// by hand: the values 1, 2, 3, 4 come 2, 2, 3, 1 times; squared distances are d12 = 4, d13 = 20.25,
// d14 = 42.25, d23 = 6.25, d24 = 20.25, d34 = 4; observed 2 * 4 = 8, expected 2 * (4 * 4 +
// 6 * 20.25 + 2 * 42.25 + 6 * 6.25 + 2 * 20.25 + 3 * 4) = 624; alpha = 1 - 7 * 8 / 624.
TEST_F(RatePage, SummaryOfWhatWasPressed) {
  const std::map<std::string, std::vector<int>> given = {{"Long words on the landscape", {1, 1}},
                                                         {"Long words on the portrait", {2, 2}},
                                                         {"Few words on the landscape", {3, 3}},
                                                         {"Few words on the portrait", {3, 4}}};
  for (size_t rater = 0; rater < 2; ++rater) {
    begin(rater == 0 ? "Ann" : "Bob");
    for (int item = 0; item < 4; ++item) {
      const int value = given.at(caption())[rater];
      for (int question = 0; question < 3; ++question) rate(value);
    }
    EXPECT_TRUE(
        browser_->becomes("document.getElementById('progress').textContent.includes('all rated')"));
  }
  const test::Run run = test::fastvlm({"rate", folder_.path().string(), "--summary", "--json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const json summary = json::parse(run.out);
  EXPECT_EQ(summary["raters"], 2);
  for (const char* question : {"completeness", "structure", "accuracy"}) {
    EXPECT_NEAR(summary["alpha"][question], 1 - 56.0 / 624, 1e-12) << question;
    const json& precise = summary["models"]["hidden-float"][question];
    EXPECT_EQ(precise["ratings"], 4);
    EXPECT_EQ(precise["mean"], 1.5);
    // 1.96 standard errors; the deviation of 1 1 2 2 is 1 / sqrt(3).
    EXPECT_EQ(precise["interval_95"][0], 1);  // the scale ends there
    EXPECT_NEAR(precise["interval_95"][1], 1.5 + 1.96 / std::sqrt(12.0), 1e-12);
    EXPECT_EQ(summary["models"]["hidden-q4"][question]["mean"], 3.25);
  }
}

TEST_F(RatePage, FitsANarrowWindow) {
  browser_->look(360, true);
  begin("Ann");
  EXPECT_EQ(browser_->value("document.documentElement.scrollWidth <= 360"), true);
  EXPECT_EQ(browser_->value("document.getElementById('caption').clientWidth > 280"), true);
}

}  // namespace
}  // namespace fastvlm

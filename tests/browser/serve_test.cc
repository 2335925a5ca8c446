// SPDX-License-Identifier: Apache-2.0
// The server's page as people meet it: a picture from a file, the camera, a phone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <span>

#include "base/base64.h"
#include "base/mapped_file.h"
#include "browser/browser.h"
#include "cli/program.h"
#include "support/files.h"

namespace fastvlm {
namespace {

using testing::HasSubstr;

class ServePage : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = test::Browser::why_not(); !why.empty()) GTEST_SKIP() << why;
    start({});
    browser_ = std::make_unique<test::Browser>();
  }
  void start(const std::vector<std::string>& options) {
    std::vector<std::string> command = {std::string(FASTVLM_BINARY_DIR) + "/fastvlm",
                                        "serve",
                                        "--port",
                                        "0",
                                        "--model",
                                        test::demo_model()};
    command.insert(command.end(), options.begin(), options.end());
    server_ = std::make_unique<test::Background>(command);
    address_ = "http" + server_->wait_for("http");
  }
  void open_page(const std::string& fragment = "") {
    browser_->open(address_ + fragment);
    ASSERT_TRUE(browser_->becomes("document.getElementById('model').textContent !== ''"));
  }
  std::string text(const std::string& id) {
    return browser_->value("document.getElementById('" + id + "').textContent").get<std::string>();
  }
  // The picture as if it were dropped on the page.
  void drop(const std::string& picture) {
    const auto file =
        read_text_file(std::string(FASTVLM_SOURCE_DIR) + "/examples/" + picture, size_t{1} << 24);
    ASSERT_TRUE(file.ok()) << file.status().message;
    const std::string bytes = base64(std::as_bytes(std::span(*file)));
    browser_->value(
        "(() => { const bytes = Uint8Array.from(atob('" + bytes +
        "'), letter => letter.charCodeAt(0)); const data = new DataTransfer(); "
        "data.items.add(new File([bytes], '" +
        picture +
        "', {type: 'image/jpeg'})); "
        "document.getElementById('stage').dispatchEvent(new DragEvent('drop', {dataTransfer: data, "
        "bubbles: true, cancelable: true})); return true; })()");
  }
  bool answered() {
    return browser_->becomes(
        "document.getElementById('figures').textContent.includes('tokens a second')");
  }

  std::unique_ptr<test::Background> server_;
  std::unique_ptr<test::Browser> browser_;
  std::string address_;
};

TEST_F(ServePage, APictureGetsItsSections) {
  open_page();
  drop("fish-underwater.jpg");
  ASSERT_TRUE(answered()) << text("problem");
  EXPECT_EQ(browser_->value("document.querySelectorAll('#caption h3').length"), 7);
  EXPECT_THAT(text("caption"), HasSubstr("Main Focus"));
  EXPECT_THAT(text("figures"), testing::AllOf(HasSubstr("first words after"), HasSubstr("memory")));
  EXPECT_EQ(browser_->value("document.querySelectorAll('#history li').length"), 1);
  EXPECT_EQ(browser_->value("document.getElementById('problem').hidden"), true);
  EXPECT_EQ(browser_->value("document.getElementById('copy').disabled"), false);
}

TEST_F(ServePage, TheCameraIsWatchedUntilItIsStopped) {
  open_page();
  browser_->click("#camera");
  ASSERT_TRUE(browser_->becomes("!document.getElementById('live').hidden")) << text("problem");
  browser_->click("#shot");
  ASSERT_TRUE(answered()) << text("problem");
  browser_->click("#continuous");
  ASSERT_TRUE(browser_->becomes("document.querySelectorAll('#history li').length >= 3"));
  browser_->click("#camera");
  EXPECT_TRUE(browser_->becomes("document.getElementById('live').hidden"));
}

TEST_F(ServePage, FitsAPhone) {
  for (const bool dark : {false, true}) {
    browser_->look(360, dark);
    open_page();
    drop("fish-underwater.jpg");
    ASSERT_TRUE(answered());
    EXPECT_LE(browser_->value("document.documentElement.scrollWidth").get<int>(), 360);
  }
}

TEST_F(ServePage, AnswersWhatIsAskedAndSaysWhatIsWrong) {
  open_page();
  browser_->value(
      "(() => { const preset = document.getElementById('preset'); preset.value = '1'; "
      "preset.dispatchEvent(new Event('change')); return true; })()");
  drop("fish-underwater.jpg");
  ASSERT_TRUE(answered());
  EXPECT_EQ(browser_->value("document.querySelectorAll('#caption h3').length"), 0);
  server_.reset();
  browser_->click("#again");
  ASSERT_TRUE(browser_->becomes("!document.getElementById('problem').hidden"));
  EXPECT_THAT(text("problem"), HasSubstr("cannot be reached"));
}

// The key comes with the address and leaves it.
TEST_F(ServePage, TakesItsKeyFromTheFragment) {
  test::TemporaryFolder folder;
  const std::string key = "0123456789abcdef0123";
  std::ofstream(folder / "keys") << key << "\n";
  start({"--api-key-file", (folder / "keys").string()});
  browser_->open(address_);
  ASSERT_TRUE(browser_->becomes("!document.getElementById('problem').hidden"));
  EXPECT_THAT(text("problem"), HasSubstr("#key="));
  browser_->open("about:blank");
  open_page("#key=" + key);
  EXPECT_EQ(browser_->value("location.hash"), "");
  drop("fish-underwater.jpg");
  EXPECT_TRUE(answered()) << text("problem");
}

// What a phone sees: another address than this machine's own name for itself.
TEST_F(ServePage, AnotherMachineGetsTheCameraOverTls) {
  const test::TemporaryFolder folder;
  const std::string key = "0123456789abcdef0123";
  std::ofstream(folder / "keys") << key << "\n";
  ::setenv("XDG_CACHE_HOME", folder.path().c_str(), 1);  // where the certificate is kept
  const std::vector<std::string> open_to_all = {"--host", "0.0.0.0", "--api-key-file",
                                                (folder / "keys").string()};
  start(open_to_all);
  if (address_.find("//127.") != std::string::npos) GTEST_SKIP() << "this machine has no network";
  open_page("#key=" + key);
  EXPECT_EQ(browser_->value("document.getElementById('why').hidden"), false);
  EXPECT_EQ(browser_->value("document.getElementById('camera').disabled"), true);

  server_.reset();
  std::vector<std::string> over_tls = open_to_all;
  over_tls.push_back("--tls-self-signed");
  start(over_tls);
  ASSERT_THAT(address_, testing::StartsWith("https://"));
  open_page("#key=" + key);
  EXPECT_EQ(browser_->value("document.getElementById('why').hidden"), true);
  browser_->click("#camera");
  ASSERT_TRUE(browser_->becomes("!document.getElementById('live').hidden")) << text("problem");
  browser_->click("#shot");
  ASSERT_TRUE(answered()) << text("problem");
  EXPECT_EQ(browser_->value("document.querySelectorAll('#caption h3').length"), 7);
}

}  // namespace
}  // namespace fastvlm

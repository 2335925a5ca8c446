// SPDX-License-Identifier: Apache-2.0
// Headless Chromium, driven by W3C WebDriver through Debian's chromium-driver.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/background.h"
#include "support/files.h"
#include "support/test_length.h"

namespace fastvlm::test {

inline constexpr const char* kChromium = "/usr/bin/chromium";
inline constexpr const char* kDriver = "/usr/bin/chromedriver";

class Browser {
 public:
  // Why pages are not tested; empty where they are.
  static std::string why_not() {
    if (test_length() == "fast") return "not part of the fast run";
    const bool installed = std::filesystem::exists(kChromium) && std::filesystem::exists(kDriver);
    return installed ? "" : "chromium and chromium-driver are missing";
  }

  Browser() : driver_({kDriver, "--port=0"}) {
    const std::string started = driver_.wait_for("started successfully on port ");
    address_ = "http://127.0.0.1:" + started.substr(0, started.find('.')) + "/session";
    const nlohmann::json arguments = {"--headless=new",
                                      "--no-sandbox",
                                      "--disable-gpu",
                                      "--no-first-run",
                                      "--disable-dev-shm-usage",
                                      "--user-data-dir=" + profile_.path().string(),
                                      "--use-fake-device-for-media-stream",
                                      "--use-fake-ui-for-media-stream"};
    const nlohmann::json session =
        post("", {{"capabilities",
                   {{"alwaysMatch",
                     {{"acceptInsecureCerts", true},  // as a person who says yes
                      {"goog:chromeOptions", {{"binary", kChromium}, {"args", arguments}}}}}}}});
    if (session.is_object()) address_ += "/" + session.value("sessionId", "");
  }
  Browser(const Browser&) = delete;
  Browser& operator=(const Browser&) = delete;
  ~Browser() { send("DELETE", "", ""); }

  void open(const std::string& address) { post("/url", {{"url", address}}); }
  // The value of a JavaScript expression.
  nlohmann::json value(const std::string& expression) {
    return post("/execute/sync",
                {{"script", "return " + expression + ";"}, {"args", nlohmann::json::array()}});
  }
  // Presses and releases keys, as a person would; "\uE007" is Enter, "\uE012" to "\uE015" are the
  // arrows left, up, right, down.
  void press(const std::vector<std::string>& keys) {
    nlohmann::json actions = nlohmann::json::array();
    for (const std::string& key : keys) {
      actions.push_back({{"type", "keyDown"}, {"value", key}});
      actions.push_back({{"type", "keyUp"}, {"value", key}});
    }
    post("/actions", {{"actions", {{{"type", "key"}, {"id", "keyboard"}, {"actions", actions}}}}});
  }
  void click(const std::string& selector) {
    const nlohmann::json found = post("/element", {{"using", "css selector"}, {"value", selector}});
    if (!found.is_object() || found.empty()) return;
    post("/element/" + found.begin()->get<std::string>() + "/click", nlohmann::json::object());
  }
  // Waits until the expression is true; false when it does not become so in time.
  bool becomes(const std::string& expression) {
    for (int i = 0; i < 200; ++i) {
      if (value(expression) == true) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return false;
  }
  // The page as on a screen `width` pixels wide, in light or dark.
  void look(int width, bool dark) {
    command("Emulation.setDeviceMetricsOverride",
            {{"width", width}, {"height", 900}, {"deviceScaleFactor", 1}, {"mobile", false}});
    command(
        "Emulation.setEmulatedMedia",
        {{"features", {{{"name", "prefers-color-scheme"}, {"value", dark ? "dark" : "light"}}}}});
  }
  // The window as a PNG, in base64.
  std::string screenshot() {
    const nlohmann::json text =
        nlohmann::json::parse(send("GET", "/screenshot", ""), nullptr, false);
    return text.is_object() ? text.value("value", "") : std::string();
  }

 private:
  void command(const std::string& name, const nlohmann::json& parameters) {
    post("/goog/cdp/execute", {{"cmd", name}, {"params", parameters}});
  }
  nlohmann::json post(const std::string& path, const nlohmann::json& body) {
    const nlohmann::json answer =
        nlohmann::json::parse(send("POST", path, body.dump()), nullptr, false);
    return answer.is_object() ? answer.value("value", nlohmann::json()) : nlohmann::json();
  }
  std::string send(const char* method, const std::string& path, const std::string& body) {
    std::string answer;
    CURL* request = curl_easy_init();
    curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
    const std::string address = address_ + path;
    curl_easy_setopt(request, CURLOPT_URL, address.c_str());
    curl_easy_setopt(request, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(request, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(request, CURLOPT_TIMEOUT, 90L);
    curl_easy_setopt(request, CURLOPT_PROXY, "");
    if (!body.empty()) {
      curl_easy_setopt(request, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
      curl_easy_setopt(request, CURLOPT_POSTFIELDS, body.c_str());
    }
    const auto append = +[](char* bytes, size_t size, size_t count, void* into) {
      static_cast<std::string*>(into)->append(bytes, size * count);
      return size * count;
    };
    curl_easy_setopt(request, CURLOPT_WRITEFUNCTION, append);
    curl_easy_setopt(request, CURLOPT_WRITEDATA, &answer);
    curl_easy_perform(request);
    curl_slist_free_all(headers);
    curl_easy_cleanup(request);
    return answer;
  }

  TemporaryFolder profile_;
  Background driver_;
  std::string address_;
};

}  // namespace fastvlm::test

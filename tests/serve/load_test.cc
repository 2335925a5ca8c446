// SPDX-License-Identifier: Apache-2.0
// Many clients at once for a long time: all are answered, and memory stays where it is.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <iostream>
#include <mutex>
#include <thread>

#include "base/cpu.h"
#include "base/mapped_file.h"
#include "serve/service.h"
#include "support/files.h"
#include "support/http_client.h"
#include "support/test_length.h"

namespace fastvlm {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr int kClients = 32;
const std::string kJsonType = "Content-Type: application/json\r\n";

// What the clients ask in turn, about different pictures: captions, and chats whole and in pieces.
std::vector<std::pair<std::string, std::string>> requests() {
  std::vector<std::pair<std::string, std::string>> all;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(FASTVLM_SOURCE_DIR) / "examples")) {
    if (entry.path().extension() != ".jpg") continue;
    const std::string bytes = *read_text_file(entry.path());
    const std::string uri = test::jpeg_uri(bytes);
    all.emplace_back("/v1/captions", cat(R"({"image":")", uri, R"("})"));
    for (const char* stream : {"true", "false"}) {
      all.emplace_back("/v1/chat/completions",
                       cat(R"({"model":"demo","stream":)", stream,
                           R"(,"messages":[{"role":"user","content":[{"type":"image_url",)",
                           R"("image_url":{"url":")", uri, R"("}}]}]})"));
    }
  }
  return all;
}

struct Tally {
  std::mutex mutex;
  std::vector<double> seconds;  // of each answer 200
  size_t busy = 0;              // answers 429
  std::vector<std::string> other;
};

void ask_until(Clock::time_point end, int port, size_t first, Tally& tally) {
  const auto all = requests();
  for (size_t i = first; Clock::now() < end; ++i) {
    const auto& [path, body] = all[i % all.size()];
    const auto begin = Clock::now();
    const test::HttpResult result = test::ask(port, "POST", path, kJsonType, body);
    const std::chrono::duration<double> took = Clock::now() - begin;
    const std::lock_guard lock(tally.mutex);
    if (result.status == 200 && result.body.find("error") == std::string::npos) {
      tally.seconds.push_back(took.count());
    } else if (result.status == 429) {
      ++tally.busy;
    } else {
      tally.other.push_back(cat(path, ": ", result.status, " ", result.body.substr(0, 200)));
    }
  }
}

TEST(Load, ManyClientsInFlatMemory) {
  if (test::test_length() == "fast") GTEST_SKIP() << "not part of the fast run";
  const seconds length(test::test_length() == "long" ? 600 : 20);
  ThreadPool pool(2);
  SharedPool shared(pool);
  EngineOptions options;
  options.model = test::demo_model();
  const auto service = Service::make(*Engine::load(options, pool), shared, {});
  ASSERT_TRUE(service.ok());
  const auto server = HttpServer::start("127.0.0.1", 0, (*service)->http());
  ASSERT_TRUE(server.ok());

  Tally tally;
  const auto begin = Clock::now();
  std::vector<std::thread> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] { ask_until(begin + length, (*server)->port(), i, tally); });
  }
  std::vector<int64_t> memory;
  while (Clock::now() < begin + length) {
    std::this_thread::sleep_for(length / 40);
    memory.push_back(resident_bytes());
  }
  for (std::thread& client : clients) client.join();

  for (const std::string& one : tally.other) ADD_FAILURE() << one;
  ASSERT_GT(tally.seconds.size(), size_t{kClients});
  std::sort(tally.seconds.begin(), tally.seconds.end());
  const auto percentile = [&](size_t part) {
    return tally.seconds[tally.seconds.size() * part / 100];
  };
  const auto half = memory.begin() + static_cast<std::ptrdiff_t>(memory.size() / 2);
  const int64_t early = *std::max_element(memory.begin(), half);
  const int64_t late = *std::max_element(half, memory.end());
  std::cout << kClients << " clients for " << length.count() << " s: " << tally.seconds.size()
            << " answers, " << tally.busy << " told to wait, half within " << percentile(50)
            << " s, 95 of 100 within " << percentile(95) << " s; at most " << early / 1'000'000
            << " MB in the first half, " << late / 1'000'000 << " MB after it\n";
  constexpr int64_t kHeldBack = 8'000'000;  // by the allocator, in the clients' threads too
  EXPECT_LE(late, early + kHeldBack);
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Many clients at once for a long time: all are answered, and memory stays where it is.
#include <gtest/gtest.h>
#include <malloc.h>

#include <algorithm>
#include <cstdint>
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

// All clients ask for `length`; what the program then holds in memory at most.
int64_t most_memory(seconds length, int port, Tally& tally) {
  const auto end = Clock::now() + length;
  std::vector<std::thread> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] { ask_until(end, port, i, tally); });
  }
  int64_t most = 0;
  while (Clock::now() < end) {
    std::this_thread::sleep_for(length / 20);
    most = std::max(most, static_cast<int64_t>(resident_bytes()));
  }
  for (std::thread& client : clients) client.join();
  return most;
}

// What is allocated once the last connections are closed.
size_t allocated_at_rest() {
  size_t least = SIZE_MAX;
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    const struct mallinfo2 heap = mallinfo2();
    least = std::min(least, heap.uordblks + heap.hblkhd);
  }
  return least;
}

TEST(Load, ManyClientsInFlatMemory) {
  if (test::test_length() == "fast") GTEST_SKIP() << "not part of the fast run";
  const seconds half(test::test_length() == "long" ? 300 : 10);
  ThreadPool pool(2);
  SharedPool shared(pool);
  EngineOptions options;
  options.model = test::demo_model();
  const auto service = Service::make(*Engine::load(options, pool), shared, {});
  ASSERT_TRUE(service.ok());
  const auto server = HttpServer::start("127.0.0.1", 0, (*service)->http());
  ASSERT_TRUE(server.ok());

  Tally tally;
  tally.seconds.reserve(1'000'000);  // does not grow with the answers
  const int64_t early = most_memory(half, (*server)->port(), tally);
  const size_t held = allocated_at_rest();
  const size_t answers = tally.seconds.size();
  const int64_t late = most_memory(half, (*server)->port(), tally);
  const size_t held_later = allocated_at_rest();

  for (const std::string& one : tally.other) ADD_FAILURE() << one;
  ASSERT_GT(answers, size_t{kClients});
  ASSERT_GT(tally.seconds.size(), answers + kClients);
  std::sort(tally.seconds.begin(), tally.seconds.end());
  const auto percentile = [&](size_t part) {
    return tally.seconds[tally.seconds.size() * part / 100];
  };
  std::cout << kClients << " clients for " << 2 * half.count() << " s: " << tally.seconds.size()
            << " answers, " << tally.busy << " told to wait, half within " << percentile(50)
            << " s, 95 of 100 within " << percentile(95) << " s; at most " << early / 1'000'000
            << " MB in the first half, " << late / 1'000'000 << " MB after it; at rest "
            << held / 1000 << " kB allocated, then " << held_later / 1000 << " kB\n";
  // An answer that leaves something behind shows at rest; what is resident varies with how many
  // requests were in hand at once, and the allocator keeps that much.
  EXPECT_LE(held_later, held + 500'000);
  EXPECT_LE(late, early + kClients * 2'000'000);
}

}  // namespace
}  // namespace fastvlm

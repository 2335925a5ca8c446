// SPDX-License-Identifier: Apache-2.0
// An OpenAI-shaped server on loopback for tests: each POST is answered by a function, several at
// once.
#pragma once

#include <atomic>
#include <cstdlib>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/strings.h"
#include "support/loopback.h"

namespace fastvlm::test {

struct ChatRequest {
  std::string path;
  std::string head;  // all headers
  nlohmann::json body;
};

struct ChatReply {
  int status = 200;
  std::string body;
  std::string headers = {};  // "Retry-After: 0\r\n"
};

// A chat completion that says `text`.
inline ChatReply says(const std::string& text) {
  return {200,
          nlohmann::json{{"choices", {{{"message", {{"role", "assistant"}, {"content", text}}}}}},
                         {"usage", {{"prompt_tokens", 100}, {"completion_tokens", 50}}}}
              .dump()};
}

class ChatServer {
 public:
  using Handler = std::function<ChatReply(const ChatRequest&)>;

  explicit ChatServer(Handler handler) : handler_(std::move(handler)) {}

  std::string address() const { return cat("http://127.0.0.1:", port_.number(), "/v1"); }
  int requests() const { return requests_; }
  int most_at_once() const { return most_at_once_; }

 private:
  void answer(int connection) {
    ++requests_;
    const int now = ++at_once_;
    for (int most = most_at_once_; now > most && !most_at_once_.compare_exchange_weak(most, now);) {
    }
    std::string text;
    size_t head = std::string::npos;
    size_t size = 0;
    char buffer[65536];
    while (head == std::string::npos || text.size() < head + 4 + size) {
      const ssize_t count = ::recv(connection, buffer, sizeof buffer, 0);
      if (count <= 0) break;
      text.append(buffer, static_cast<size_t>(count));
      if (head != std::string::npos) continue;
      head = text.find("\r\n\r\n");
      const size_t at = text.find("Content-Length: ");
      if (head != std::string::npos && at < head) size = std::strtoull(&text[at + 16], nullptr, 10);
    }
    if (head != std::string::npos) {
      ChatRequest request{text.substr(5, text.find(' ', 5) - 5), text.substr(0, head),
                          nlohmann::json::parse(text.substr(head + 4), nullptr, false)};
      const ChatReply reply = handler_(request);
      send_all(
          connection,
          cat("HTTP/1.1 ", reply.status, " X\r\nContent-Type: application/json\r\n", reply.headers,
              "Content-Length: ", reply.body.size(), "\r\nConnection: close\r\n\r\n", reply.body));
    }
    --at_once_;
    ::close(connection);
  }

  // The threads that answer, all of them waited for at the end.
  struct Threads {
    ~Threads() {
      for (std::thread& thread : all) thread.join();
    }
    std::vector<std::thread> all;
  };

  Handler handler_;
  std::atomic<int> requests_{0};
  std::atomic<int> at_once_{0};
  std::atomic<int> most_at_once_{0};
  Threads answering_;
  LoopbackPort port_{[this](int connection) {
    answering_.all.emplace_back([this, connection] { answer(connection); });
  }};
};

}  // namespace fastvlm::test

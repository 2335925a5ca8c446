// SPDX-License-Identifier: Apache-2.0
// An OpenAI-shaped server on loopback for tests: each POST is answered by a function, several at
// once.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "base/strings.h"

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

  explicit ChatServer(Handler handler)
      : handler_(std::move(handler)), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 16) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      std::abort();
    }
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ChatServer(const ChatServer&) = delete;
  ChatServer& operator=(const ChatServer&) = delete;
  ~ChatServer() {
    stopping_ = true;
    thread_.join();
    for (std::thread& thread : answering_) thread.join();
    ::close(listener_);
  }

  std::string address() const { return cat("http://127.0.0.1:", port_, "/v1"); }
  int requests() const { return requests_; }
  int most_at_once() const { return most_at_once_; }

 private:
  void serve() {
    while (!stopping_) {
      pollfd wait{listener_, POLLIN, 0};
      if (::poll(&wait, 1, 20) <= 0) continue;
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection >= 0) answering_.emplace_back([this, connection] { answer(connection); });
    }
  }

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
      const std::string answer =
          cat("HTTP/1.1 ", reply.status, " X\r\nContent-Type: application/json\r\n", reply.headers,
              "Content-Length: ", reply.body.size(), "\r\nConnection: close\r\n\r\n", reply.body);
      for (size_t sent = 0; sent < answer.size();) {
        const ssize_t count =
            ::send(connection, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) break;
        sent += static_cast<size_t>(count);
      }
    }
    --at_once_;
    ::close(connection);
  }

  Handler handler_;
  int listener_;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> requests_{0};
  std::atomic<int> at_once_{0};
  std::atomic<int> most_at_once_{0};
  std::vector<std::thread> answering_;
  std::thread thread_;
};

}  // namespace fastvlm::test

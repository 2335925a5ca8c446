// SPDX-License-Identifier: Apache-2.0
// A client of HTTP that can also be a bad one: bytes out, bytes in.
#pragma once

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string>

#include "base/base64.h"
#include "base/strings.h"
#include "support/loopback.h"

namespace fastvlm::test {

class HttpClient {
 public:
  explicit HttpClient(int port) : socket_(connect_to(port)) {}
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;
  ~HttpClient() { leave(); }

  size_t send(const std::string& bytes) { return send_all(socket_, bytes); }
  void say_no_more() { ::shutdown(socket_, SHUT_WR); }  // half closed
  void leave() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }

  // All that has come by the time that `mark` is there; empty: it did not come, the server left or
  // a minute is over.
  std::string read_until(const std::string& mark) {
    while (text_.find(mark) == std::string::npos) {
      if (!more()) return {};
    }
    return text_;
  }
  // All that comes until the server closes the connection.
  std::string read_all() {
    while (more()) {
    }
    return text_;
  }
  // Whether the server closed the connection (not: a minute is over).
  bool closed() const { return closed_; }
  void forget() { text_.clear(); }

 private:
  bool more() {
    pollfd ready = {socket_, POLLIN, 0};
    if (closed_ || socket_ < 0 || ::poll(&ready, 1, 60'000) <= 0) return false;
    char buffer[65536];
    const ssize_t count = ::recv(socket_, buffer, sizeof buffer, 0);
    closed_ = count <= 0;
    if (!closed_) text_.append(buffer, static_cast<size_t>(count));
    return !closed_;
  }

  int socket_;
  bool closed_ = false;
  std::string text_;
};

// A request as a client sends it; `headers` end with a line end each.
inline std::string http_request(const std::string& method, const std::string& path,
                                const std::string& headers = {}, const std::string& body = {}) {
  return cat(method, " ", path, " HTTP/1.1\r\nHost: localhost\r\n", headers,
             body.empty() ? "" : cat("Content-Length: ", body.size(), "\r\n"), "\r\n", body);
}

// A picture's file as a request's JSON has it.
inline std::string jpeg_uri(const std::string& bytes) {
  return cat("data:image/jpeg;base64,", base64(std::as_bytes(std::span(bytes))));
}

struct HttpResult {
  int status = 0;  // 0: no answer
  std::string head;
  std::string body;  // of a chunked answer without what lies between the chunks
};

inline HttpResult parse_result(const std::string& text) {
  HttpResult result;
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos || !text.starts_with("HTTP/1.1 ")) return result;
  result.status = std::atoi(text.c_str() + 9);
  result.head = text.substr(0, end + 2);
  std::string rest = text.substr(end + 4);
  if (result.head.find("chunked") == std::string::npos) {
    result.body = rest;
    return result;
  }
  while (!rest.empty()) {
    const size_t size = std::strtoull(rest.c_str(), nullptr, 16);
    const size_t begin = rest.find("\r\n");
    if (size == 0 || begin == std::string::npos) break;
    result.body += rest.substr(begin + 2, size);
    rest.erase(0, std::min(rest.size(), begin + 2 + size + 2));
  }
  return result;
}

// One request on a connection of its own.
inline HttpResult ask(int port, const std::string& method, const std::string& path,
                      const std::string& headers = {}, const std::string& body = {}) {
  HttpClient client(port);
  client.send(http_request(method, path, "Connection: close\r\n" + headers, body));
  return parse_result(client.read_all());
}

}  // namespace fastvlm::test

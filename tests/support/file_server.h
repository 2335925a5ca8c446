// SPDX-License-Identifier: Apache-2.0
// A small HTTP server on loopback for tests: files from memory with ETags and range requests,
// connections that break off.
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/sha256.h"
#include "base/strings.h"

namespace fastvlm::test {

class FileServer {
 public:
  FileServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
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
  FileServer(const FileServer&) = delete;
  FileServer& operator=(const FileServer&) = delete;
  ~FileServer() {
    stopping_ = true;
    thread_.join();
    ::close(listener_);
  }

  std::string address() const { return cat("http://127.0.0.1:", port_); }
  void add(const std::string& path, std::string bytes) {
    const std::lock_guard lock(mutex_);
    files_[path].bytes = std::move(bytes);
  }
  // Answers `path` with exactly these bytes, head and all, then closes the connection.
  void add_answer(const std::string& path, std::string answer) {
    const std::lock_guard lock(mutex_);
    files_[path].answer = std::move(answer);
  }
  void add_redirect(const std::string& path, const std::string& target) {
    add_answer(path, cat("HTTP/1.1 302 Found\r\nLocation: ", target,
                         "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
  }
  void remove(const std::string& path) {
    const std::lock_guard lock(mutex_);
    files_.erase(path);
  }
  // The next `times` answers for `path` break off after `bytes` bytes of body.
  void cut_after(const std::string& path, size_t bytes, int times) {
    const std::lock_guard lock(mutex_);
    files_[path].cut_at = bytes;
    files_[path].cuts = times;
  }
  int requests() const { return requests_; }
  void forget_requests() { requests_ = 0; }
  uint64_t bytes_of(const std::string& path) {  // body bytes sent for `path`
    const std::lock_guard lock(mutex_);
    return files_[path].sent;
  }
  int ranges_of(const std::string& path) {  // range requests answered with 206
    const std::lock_guard lock(mutex_);
    return files_[path].ranges;
  }

 private:
  struct File {
    std::string bytes;
    std::string answer;  // instead of the bytes and the head that belongs to them
    size_t cut_at = 0;
    int cuts = 0;
    uint64_t sent = 0;
    int ranges = 0;
  };

  void serve() {
    while (!stopping_) {
      pollfd wait{listener_, POLLIN, 0};
      if (::poll(&wait, 1, 20) <= 0) continue;
      const int connection = ::accept(listener_, nullptr, nullptr);
      if (connection < 0) continue;
      answer(connection);
      ::close(connection);
    }
  }

  static std::string header(const std::string& request, const std::string& name) {
    const size_t at = request.find("\r\n" + name + ": ");
    if (at == std::string::npos) return {};
    const size_t start = at + name.size() + 4;
    return request.substr(start, request.find("\r\n", start) - start);
  }

  void answer(int connection) {
    std::string request;
    char buffer[4096];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t count = ::recv(connection, buffer, sizeof buffer, 0);
      if (count <= 0) return;
      request.append(buffer, static_cast<size_t>(count));
    }
    ++requests_;
    const std::string path = request.substr(4, request.find(' ', 4) - 4);
    const std::lock_guard lock(mutex_);
    const auto found = files_.find(path);
    if (found == files_.end()) {
      send_all(connection,
               "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\ngone");
      return;
    }
    File& file = found->second;
    if (!file.answer.empty()) {
      file.sent += send_all(connection, file.answer);
      return;
    }
    const std::string etag = "\"" + sha256_hex(file.bytes).substr(0, 16) + "\"";
    std::string range = header(request, "Range");
    const std::string condition = header(request, "If-Range");
    if (!condition.empty() && condition != etag) range.clear();
    size_t first = 0;
    size_t last = file.bytes.empty() ? 0 : file.bytes.size() - 1;
    std::string head = "HTTP/1.1 200 OK\r\n";
    if (range.starts_with("bytes=")) {
      char* end = nullptr;
      first = std::strtoull(range.c_str() + 6, &end, 10);
      if (end[0] == '-' && end[1] != '\0')
        last = std::min<size_t>(last, std::strtoull(end + 1, nullptr, 10));
      if (first >= file.bytes.size()) {
        send_all(
            connection,
            "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        return;
      }
      ++file.ranges;
      head = cat("HTTP/1.1 206 Partial Content\r\nContent-Range: bytes ", first, "-", last, "/",
                 file.bytes.size(), "\r\n");
    }
    const std::string body = file.bytes.empty() ? "" : file.bytes.substr(first, last - first + 1);
    head +=
        cat("ETag: ", etag, "\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n\r\n");
    size_t count = body.size();
    if (file.cuts > 0 && count > file.cut_at) {
      --file.cuts;
      count = file.cut_at;
    }
    send_all(connection, head);
    file.sent += send_all(connection, body.substr(0, count));
  }

  static size_t send_all(int connection, const std::string& bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t count =
          ::send(connection, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) break;
      sent += static_cast<size_t>(count);
    }
    return sent;
  }

  int listener_;
  int port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<int> requests_{0};
  std::mutex mutex_;
  std::map<std::string, File> files_;
  std::thread thread_;
};

}  // namespace fastvlm::test

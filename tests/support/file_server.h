// SPDX-License-Identifier: Apache-2.0
// A small HTTP server on loopback for tests: files from memory with ETags and range requests,
// connections that break off.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "base/sha256.h"
#include "base/strings.h"
#include "support/loopback.h"

namespace fastvlm::test {

class FileServer {
 public:
  std::string address() const { return cat("http://127.0.0.1:", port_.number()); }
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

  std::atomic<int> requests_{0};
  std::mutex mutex_;
  std::map<std::string, File> files_;
  LoopbackPort port_{[this](int connection) {
    answer(connection);
    ::close(connection);
  }};
};

}  // namespace fastvlm::test

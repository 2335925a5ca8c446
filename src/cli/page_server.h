// SPDX-License-Identifier: Apache-2.0
// A page for the person at this machine. Goals: a few kilobytes of HTTP/1.1 on the loopback
// interface, one request at a time, with limits on size and time. Non-goals: other machines, TLS,
// connections that stay open.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace fastvlm::cli {

struct PageRequest {
  std::string method;  // "GET" or "POST"
  std::string path;    // "/api/items", without the query
  std::string query;   // "rater=Ann", as it was sent
  std::string body;
};

struct PageAnswer {
  int status = 200;
  std::string type = "application/json";
  std::string body = {};
};

class PageServer {
 public:
  static Result<PageServer> listen(int port);  // 0: any that is free
  PageServer(PageServer&& other) noexcept;
  PageServer& operator=(PageServer&&) = delete;
  PageServer(const PageServer&) = delete;
  PageServer& operator=(const PageServer&) = delete;
  ~PageServer();

  std::string address() const;  // "http://127.0.0.1:8017/"
  // Answers requests one after the other, for ever. Requests that name another host (a page
  // elsewhere that wants in) and posts that are no JSON are refused.
  Status serve(const std::function<PageAnswer(const PageRequest&)>& answer) const;

 private:
  PageServer() = default;
  int socket_ = -1;
  int port_ = 0;
};

// The value of `key` in a query, with %20 and + undone; empty when it is not there.
std::string query_value(const std::string& query, const std::string& key);

}  // namespace fastvlm::cli

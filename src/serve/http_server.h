// SPDX-License-Identifier: Apache-2.0
// HTTP/1.1 for a service that takes its time. Goals: whatever a client sends, or does not send, it
// holds a bounded amount of memory for a bounded time; a client that leaves is noticed while its
// answer is being made. Non-goals: HTTP/2, files.
//
// Threads: one thread of the server's own does the sockets and calls the two functions of
// HttpService, which must not block; a Reply may be used from any one other thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "serve/certificate.h"

namespace fastvlm {

struct HttpLimits {
  size_t header_bytes = size_t{16} * 1024;
  size_t body_bytes = 32'000'000;
  size_t all_bodies_bytes = 256'000'000;  // of all requests that are read, wait or are worked on
  size_t connections = 256;
  size_t client_connections = 64;  // of one address
  // For the handshake of TLS, and from a request's first byte to its last header.
  std::chrono::milliseconds header_time{10'000};
  std::chrono::milliseconds body_time{60'000};   // from there to its last byte
  std::chrono::milliseconds idle_time{60'000};   // of a connection between two requests
  std::chrono::milliseconds write_time{30'000};  // in which a piece of an answer must be taken
};

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // "/v1/models", without the query
  std::string host;    // headers as they were sent; empty: not there
  std::string origin;
  std::string authorization;
  std::string content_type;
  std::string client;  // its address, without the port
  std::string body;
  std::shared_ptr<void> share;  // of HttpLimits::all_bodies_bytes, until the last copy goes
};

struct HttpAnswer {
  int status = 200;
  std::string type = "application/json";
  std::string body = {};
  std::vector<std::pair<std::string, std::string>> headers = {};
};

// The answer to one request: send() once, or begin(), write()s and end(). One that is dropped
// unanswered becomes an error 500; one that was begun is cut, also by a send(). After gone()
// nothing is sent any more.
class Reply {
 public:
  Reply() = default;
  Reply(const Reply&) = delete;
  Reply& operator=(const Reply&) = delete;
  virtual ~Reply() = default;

  virtual void send(HttpAnswer answer) = 0;
  virtual void begin(int status, std::string type) = 0;
  virtual void write(std::string text) = 0;
  virtual void end() = 0;
  virtual bool gone() const = 0;  // the client has left
};

struct HttpService {
  // What is known before the body is read: an answer refuses the request, and the connection ends.
  std::function<std::optional<HttpAnswer>(const HttpRequest& head)> admit;
  std::function<void(HttpRequest request, std::shared_ptr<Reply> reply)> handle;
};

class HttpServer {
 public:
  // Listens on `host`, an IP address or "localhost", and answers from here on. `port` 0: any that
  // is free. With a certificate it speaks TLS (1.2 or 1.3) only. kUsage: no address; kIo: the
  // system refuses it; kInvalid: the certificate cannot be used.
  static Result<std::unique_ptr<HttpServer>> start(
      const std::string& host, int port, HttpService service, const HttpLimits& limits = {},
      const std::optional<Certificate>& certificate = std::nullopt);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer();  // cuts what is still open

  int port() const;
  // Under one of the names by which it is reached: "http://127.0.0.1:8080/".
  std::string url(const std::string& ip_address) const;
  size_t connections() const;
  // Ends connections that wait for a next request, and from now on every one after its answer.
  void close_idle();
  // Whether all answers have been taken by their clients, within that time.
  bool wait_until_quiet(std::chrono::milliseconds most) const;

 private:
  class Core;
  class Connection;
  class Answering;

  explicit HttpServer(std::shared_ptr<Core> core) : core_(std::move(core)) {}

  std::shared_ptr<Core> core_;
};

// Whether only programs of this machine reach the address; false for what is none.
bool is_loopback(const std::string& host);

}  // namespace fastvlm

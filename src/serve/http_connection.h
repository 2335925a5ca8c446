// SPDX-License-Identifier: Apache-2.0
// Inside the server: the sockets that it listens on and keeps, and one client's connection. All of
// it runs on one thread but what is said to be otherwise.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>
#include <thread>
#include <unordered_map>

#include "serve/http_server.h"

namespace fastvlm {

// What the connections share; its data belongs to the thread of the sockets.
class HttpServer::Core : public std::enable_shared_from_this<HttpServer::Core> {
 public:
  Core(HttpService its_service, const HttpLimits& its_limits,
       std::unique_ptr<boost::asio::ssl::context> its_tls)
      : service(std::move(its_service)),
        limits(its_limits),
        tls(std::move(its_tls)),
        acceptor_(io),
        pause_(io),
        bodies_(std::make_shared<std::atomic<size_t>>(0)) {}

  Status listen(const std::string& host, int port);
  void run();
  void stop();
  void accept();
  void close_idle();
  void welcome(boost::asio::ip::tcp::socket socket);
  void remove(Connection* connection);
  // None: the bodies of other requests leave no room for one of this size.
  std::shared_ptr<void> share(size_t bytes);

  boost::asio::io_context io;
  const HttpService service;
  const HttpLimits limits;
  const std::unique_ptr<boost::asio::ssl::context> tls;  // none: plain HTTP
  std::atomic<size_t> open{0};
  std::atomic<size_t> busy{0};  // connections whose answer is not taken yet
  bool closing = false;
  int port = 0;

 private:
  boost::asio::ip::tcp::acceptor acceptor_;
  boost::asio::steady_timer pause_;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
  std::unordered_map<std::string, size_t> of_clients_;  // how many, by address
  std::shared_ptr<std::atomic<size_t>> bodies_;
  std::thread thread_;
};

// One client. A read is always pending, so that its leaving is seen while an answer is made.
class HttpServer::Connection : public std::enable_shared_from_this<HttpServer::Connection> {
 public:
  Connection(std::shared_ptr<Core> core, boost::asio::ip::tcp::socket socket);

  void start();
  void leave();
  const std::string& client() const { return client_; }
  bool idle() const { return phase_ == Phase::kIdle || phase_ == Phase::kHandshake; }

  // Of Answering, on the thread of the sockets.
  void send(const HttpAnswer& answer);
  void begin(int status, const std::string& type);
  void write(const std::string& text);
  void end();
  void dropped();

 private:
  enum class Phase { kHandshake, kIdle, kHeader, kBody, kAnswering, kEnding, kClosed };

  void shake_hands();
  void end_sending();
  void read();
  void on_read(const boost::system::error_code& failed, size_t count);
  void consume();
  void begin_request();
  bool on_header();
  void on_request();
  HttpRequest head() const;
  void refuse(const boost::system::error_code& why);
  void refuse(const HttpAnswer& answer);
  void enqueue(std::string bytes, bool last);
  void write_next();
  void answered();
  void wait_for_request();
  void limit_reading(std::chrono::milliseconds time, int status);

  std::shared_ptr<Core> core_;
  boost::asio::ip::tcp::socket socket_;
  std::optional<boost::asio::ssl::stream<boost::asio::ip::tcp::socket&>> tls_;
  boost::asio::steady_timer reading_;
  boost::asio::steady_timer writing_;
  std::string client_;
  Phase phase_ = Phase::kIdle;
  std::array<char, size_t{64} * 1024> piece_;
  std::string incoming_;  // bytes that the parser has not taken yet
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  std::shared_ptr<void> share_;
  std::shared_ptr<std::atomic<bool>> gone_;  // of the answer that is being made
  std::deque<std::string> outgoing_;
  bool sending_ = false;
  bool last_queued_ = false;
  bool begun_ = false;
  bool chunked_ = false;
  bool keep_ = false;  // the connection, after this answer
  bool head_only_ = false;
};

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "serve/http_server.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <array>
#include <atomic>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>
#include <exception>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "base/strings.h"

namespace fastvlm {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLinger{2'000};  // for a client to read why it was refused

std::string status_line(int status) {
  return cat("HTTP/1.1 ", status, " ",
             std::string(http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)))),
             "\r\n");
}

// Nothing of an answer is for a page elsewhere to frame, to guess at, or to keep; our own page has
// all it needs from here, and the pictures that it holds itself.
constexpr std::string_view kSecurityHeaders =
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
    "Cross-Origin-Resource-Policy: same-origin\r\n"
    "Referrer-Policy: no-referrer\r\n"
    "X-Content-Type-Options: nosniff\r\n";

// Plain text: whoever is refused here has asked for nothing yet.
HttpAnswer refusal(int status, const std::string& why) {
  return {status, "text/plain; charset=utf-8", why + "\n"};
}

Result<std::unique_ptr<ssl::context>> tls_context(const Certificate& certificate) {
  auto context = std::make_unique<ssl::context>(ssl::context::tls_server);
  error_code failed;
  context->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 |
                           ssl::context::no_tlsv1_1 | SSL_OP_NO_RENEGOTIATION,
                       failed);
  if (!failed) context->use_certificate_chain(asio::buffer(certificate.chain), failed);
  if (!failed) context->use_private_key(asio::buffer(certificate.key), ssl::context::pem, failed);
  if (!failed) return context;
  return error(Code::kInvalid, cat("the certificate cannot be used: ", failed.message()));
}

asio::ip::address parsed_address(const std::string& host, error_code& failed) {
  return asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, failed);
}

}  // namespace

// What the connections share; its data belongs to the thread of the sockets.
class HttpServer::Core : public std::enable_shared_from_this<HttpServer::Core> {
 public:
  Core(HttpService its_service, const HttpLimits& its_limits, std::unique_ptr<ssl::context> its_tls)
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
  void welcome(tcp::socket socket);
  void remove(Connection* connection);
  // None: the bodies of other requests leave no room for one of this size.
  std::shared_ptr<void> share(size_t bytes);

  asio::io_context io;
  const HttpService service;
  const HttpLimits limits;
  const std::unique_ptr<ssl::context> tls;  // none: plain HTTP
  std::atomic<size_t> open{0};
  std::atomic<size_t> busy{0};  // connections whose answer is not taken yet
  bool closing = false;
  int port = 0;

 private:
  tcp::acceptor acceptor_;
  asio::steady_timer pause_;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
  std::unordered_map<std::string, size_t> of_clients_;  // how many, by address
  std::shared_ptr<std::atomic<size_t>> bodies_;
  std::thread thread_;
};

// One client. A read is always pending, so that its leaving is seen while an answer is made.
class HttpServer::Connection : public std::enable_shared_from_this<HttpServer::Connection> {
 public:
  Connection(std::shared_ptr<Core> core, tcp::socket socket)
      : core_(std::move(core)),
        socket_(std::move(socket)),
        reading_(socket_.get_executor()),
        writing_(socket_.get_executor()) {
    error_code failed;
    client_ = socket_.remote_endpoint(failed).address().to_string();
    socket_.set_option(tcp::no_delay(true), failed);
    if (core_->tls) tls_.emplace(socket_, *core_->tls);
  }

  void start() {
    if (tls_) return shake_hands();
    wait_for_request();
    read();
  }
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
  void on_read(const error_code& failed, size_t count);
  void consume();
  void begin_request();
  bool on_header();
  void on_request();
  HttpRequest head() const;
  void refuse(const error_code& why);
  void refuse(const HttpAnswer& answer);
  void enqueue(std::string bytes, bool last);
  void write_next();
  void answered();
  void wait_for_request();
  void limit_reading(std::chrono::milliseconds time, int status);

  std::shared_ptr<Core> core_;
  tcp::socket socket_;
  std::optional<ssl::stream<tcp::socket&>> tls_;
  asio::steady_timer reading_;
  asio::steady_timer writing_;
  std::string client_;
  Phase phase_ = Phase::kIdle;
  std::array<char, size_t{64} * 1024> piece_;
  std::string incoming_;  // bytes that the parser has not taken yet
  std::optional<http::request_parser<http::string_body>> parser_;
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

class HttpServer::Answering : public Reply {
 public:
  Answering(std::shared_ptr<Connection> connection, std::shared_ptr<Core> core,
            std::shared_ptr<std::atomic<bool>> gone)
      : connection_(std::move(connection)), core_(std::move(core)), gone_(std::move(gone)) {}
  ~Answering() override {
    if (!finished_) on_sockets([](Connection& connection) { connection.dropped(); });
  }

  void send(HttpAnswer answer) override {
    finished_ = true;
    on_sockets([answer = std::move(answer)](Connection& connection) { connection.send(answer); });
  }
  void begin(int status, std::string type) override {
    on_sockets([status, type = std::move(type)](Connection& connection) {
      connection.begin(status, type);
    });
  }
  void write(std::string text) override {
    on_sockets([text = std::move(text)](Connection& connection) { connection.write(text); });
  }
  void end() override {
    finished_ = true;
    on_sockets([](Connection& connection) { connection.end(); });
  }
  bool gone() const override { return *gone_; }

 private:
  template <typename Function>
  void on_sockets(Function fn) {
    asio::post(core_->io, [connection = connection_, gone = gone_, fn = std::move(fn)] {
      if (!*gone) fn(*connection);
    });
  }

  std::shared_ptr<Connection> connection_;
  std::shared_ptr<Core> core_;
  std::shared_ptr<std::atomic<bool>> gone_;
  bool finished_ = false;
};

Status HttpServer::Core::listen(const std::string& host, int wanted) {
  error_code failed;
  const asio::ip::address where = parsed_address(host, failed);
  if (failed) {
    return error(Code::kUsage, cat("--host ", host, ": expected an IP address or localhost"),
                 "127.0.0.1 is this machine alone, 0.0.0.0 all of its networks");
  }
  const tcp::endpoint endpoint(where, static_cast<uint16_t>(wanted));
  acceptor_.open(endpoint.protocol(), failed);
  if (!failed) acceptor_.set_option(tcp::acceptor::reuse_address(true), failed);
  if (!failed) acceptor_.bind(endpoint, failed);
  if (!failed) acceptor_.listen(128, failed);
  if (failed) {
    return error(Code::kIo,
                 cat("cannot listen on ", host, " port ", wanted, ": ", failed.message()),
                 "choose another port with --port");
  }
  port = acceptor_.local_endpoint(failed).port();
  accept();
  thread_ = std::thread([this] { run(); });
  return {};
}

void HttpServer::Core::run() {
  while (true) {
    try {
      io.run();
      return;
    } catch (const std::exception&) {
      // Memory has run out for one client; the others go on.
    }
  }
}

// What the sockets still waited for holds on to connections, and these to us: it is ended and told
// so.
void HttpServer::Core::stop() {
  io.stop();
  if (thread_.joinable()) thread_.join();
  error_code ignored;
  acceptor_.close(ignored);
  pause_.cancel();
  while (!connections_.empty()) {
    const std::shared_ptr<Connection> connection = connections_.begin()->second;
    connection->leave();
  }
  io.restart();
  io.poll();
}

void HttpServer::Core::accept() {
  acceptor_.async_accept([this](const error_code& failed, tcp::socket socket) {
    if (failed == asio::error::operation_aborted) return;
    if (failed) {  // descriptors have run out, most likely
      pause_.expires_after(std::chrono::milliseconds(100));
      pause_.async_wait([this](const error_code& stopped) {
        if (!stopped) accept();
      });
      return;
    }
    if (connections_.size() < limits.connections) welcome(std::move(socket));
    // else the socket is closed here
    accept();
  });
}

void HttpServer::Core::welcome(tcp::socket socket) {
  auto connection = std::make_shared<Connection>(shared_from_this(), std::move(socket));
  size_t& of_client = of_clients_[connection->client()];
  if (of_client >= limits.client_connections) return;
  ++of_client;
  connections_.emplace(connection.get(), connection);
  open = connections_.size();
  connection->start();
}

void HttpServer::Core::close_idle() {
  closing = true;
  std::vector<std::shared_ptr<Connection>> idle;
  for (const auto& [unused, connection] : connections_) {
    if (connection->idle()) idle.push_back(connection);
  }
  for (const auto& connection : idle) connection->leave();
}

void HttpServer::Core::remove(Connection* connection) {
  const auto of_client = of_clients_.find(connection->client());
  if (--of_client->second == 0) of_clients_.erase(of_client);
  connections_.erase(connection);
  open = connections_.size();
}

std::shared_ptr<void> HttpServer::Core::share(size_t bytes) {
  if (bodies_->fetch_add(bytes) + bytes > limits.all_bodies_bytes) {
    bodies_->fetch_sub(bytes);
    return nullptr;
  }
  return {bodies_.get(), [bodies = bodies_, bytes](void*) { bodies->fetch_sub(bytes); }};
}

void HttpServer::Connection::leave() {
  if (phase_ == Phase::kClosed) return;
  if (phase_ == Phase::kAnswering) --core_->busy;
  phase_ = Phase::kClosed;
  if (gone_) *gone_ = true;
  reading_.cancel();
  writing_.cancel();
  error_code ignored;
  socket_.close(ignored);
  core_->remove(this);
}

void HttpServer::Connection::shake_hands() {
  phase_ = Phase::kHandshake;
  limit_reading(core_->limits.header_time, 0);
  tls_->async_handshake(
      ssl::stream_base::server, [self = shared_from_this()](const error_code& failed) {
        if (self->phase_ == Phase::kClosed) return;
        if (failed) {
          // A browser that was told http:// sends plain text; it can show this.
          const bool plain =
              failed.category() == asio::error::get_ssl_category() &&
              ERR_GET_REASON(static_cast<unsigned long>(failed.value())) == SSL_R_HTTP_REQUEST;
          if (!plain) return self->leave();
          self->tls_.reset();
          self->refuse(refusal(400, "this server speaks TLS: its address begins with https://"));
          return self->read();
        }
        self->wait_for_request();
        self->read();
      });
}

void HttpServer::Connection::read() {
  auto on_bytes = [self = shared_from_this()](const error_code& failed, size_t count) {
    self->on_read(failed, count);
  };
  if (tls_) return tls_->async_read_some(asio::buffer(piece_), std::move(on_bytes));
  socket_.async_read_some(asio::buffer(piece_), std::move(on_bytes));
}

// Tells the client that nothing more comes.
void HttpServer::Connection::end_sending() {
  if (tls_) return tls_->async_shutdown([self = shared_from_this()](const error_code& /*why*/) {});
  error_code ignored;
  socket_.shutdown(tcp::socket::shutdown_send, ignored);
}

void HttpServer::Connection::on_read(const error_code& failed, size_t count) {
  if (phase_ == Phase::kClosed) return;
  // One that says no more is taken to be gone, also while its answer is made: a socket that is half
  // closed looks the same as one whose client has died.
  if (failed) return leave();
  if (phase_ == Phase::kEnding) return read();  // it was refused already
  incoming_.append(piece_.data(), count);
  if (phase_ == Phase::kAnswering) {
    if (incoming_.size() > core_->limits.header_bytes) return leave();
    return read();
  }
  try {
    consume();
  } catch (const std::exception&) {
    return leave();
  }
  if (phase_ != Phase::kClosed) read();
}

void HttpServer::Connection::begin_request() {
  parser_.emplace();
  head_only_ = false;
  parser_->header_limit(static_cast<uint32_t>(core_->limits.header_bytes));
  parser_->body_limit(core_->limits.body_bytes);
  phase_ = Phase::kHeader;
  limit_reading(core_->limits.header_time, 408);
}

// Feeds the parser until it wants more bytes, or the request is whole.
void HttpServer::Connection::consume() {
  if (phase_ == Phase::kIdle && !incoming_.empty()) begin_request();
  while (!incoming_.empty() && (phase_ == Phase::kHeader || phase_ == Phase::kBody)) {
    error_code failed;
    const size_t used = parser_->put(asio::buffer(incoming_), failed);
    incoming_.erase(0, used);
    if (failed && failed != http::error::need_more) return refuse(failed);
    if (phase_ == Phase::kHeader && parser_->is_header_done() && !on_header()) return;
    if (parser_->is_done()) return on_request();
    if (used == 0) return;
  }
}

HttpRequest HttpServer::Connection::head() const {
  const auto& message = parser_->get();
  const auto value = [&](http::field field) { return std::string(message[field]); };
  const std::string target(message.target());
  return {std::string(message.method_string()),
          target.substr(0, target.find('?')),
          value(http::field::host),
          value(http::field::origin),
          value(http::field::authorization),
          value(http::field::content_type),
          client_,
          {},
          {}};
}

// False: the request is refused.
bool HttpServer::Connection::on_header() {
  const auto& message = parser_->get();
  if (message.version() >= 11 && message.count(http::field::host) != 1) {
    refuse(refusal(400, "expected one Host header"));
    return false;
  }
  head_only_ = message.method() == http::verb::head;
  if (auto refused = core_->service.admit(head())) {
    refuse(*refused);
    return false;
  }
  phase_ = Phase::kBody;
  if (parser_->is_done()) return true;
  const auto length = parser_->content_length();
  share_ = core_->share(length ? static_cast<size_t>(*length) : core_->limits.body_bytes);
  if (!share_) {
    HttpAnswer full = refusal(503, "too many large requests at once");
    full.headers.emplace_back("Retry-After", "5");
    refuse(full);
    return false;
  }
  limit_reading(core_->limits.body_time, 408);
  if (lower_case(std::string(message[http::field::expect])) == "100-continue") {
    enqueue("HTTP/1.1 100 Continue\r\n\r\n", false);
  }
  parser_->eager(true);
  return true;
}

void HttpServer::Connection::on_request() {
  reading_.cancel();
  phase_ = Phase::kAnswering;
  ++core_->busy;
  keep_ = parser_->keep_alive() && !core_->closing;
  chunked_ = parser_->get().version() >= 11;
  begun_ = false;
  last_queued_ = false;
  gone_ = std::make_shared<std::atomic<bool>>(false);
  HttpRequest request = head();
  request.body = std::move(parser_->get().body());
  request.share = std::move(share_);
  parser_.reset();
  core_->service.handle(std::move(request),
                        std::make_shared<Answering>(shared_from_this(), core_, gone_));
}

void HttpServer::Connection::refuse(const error_code& why) {
  if (why == http::error::header_limit) {
    return refuse(
        refusal(431, cat("the header is longer than ", core_->limits.header_bytes, " bytes")));
  }
  if (why == http::error::body_limit) {
    return refuse(
        refusal(413, cat("the body is longer than ", core_->limits.body_bytes, " bytes")));
  }
  refuse(refusal(400, cat("no HTTP request: ", why.message())));
}

// The rest of what this client sends is not read.
void HttpServer::Connection::refuse(const HttpAnswer& answer) {
  phase_ = Phase::kEnding;
  reading_.cancel();
  incoming_.clear();
  share_.reset();
  keep_ = false;
  last_queued_ = false;
  begun_ = false;
  send(answer);
}

void HttpServer::Connection::send(const HttpAnswer& answer) {
  if (begun_) return leave();  // it cannot be said any more in the middle of another answer
  std::string text = cat(status_line(answer.status), "Content-Type: ", answer.type,
                         "\r\nContent-Length: ", answer.body.size(), "\r\n", kSecurityHeaders);
  for (const auto& [name, value] : answer.headers) text += cat(name, ": ", value, "\r\n");
  if (core_->closing) keep_ = false;
  if (!keep_) text += "Connection: close\r\n";
  text += "\r\n";
  if (!head_only_) text += answer.body;
  begun_ = true;
  enqueue(std::move(text), true);
}

void HttpServer::Connection::begin(int status, const std::string& type) {
  begun_ = true;
  if (core_->closing || !chunked_) keep_ = false;
  enqueue(cat(status_line(status), "Content-Type: ", type, "\r\n", kSecurityHeaders,
              chunked_ ? "Transfer-Encoding: chunked\r\n" : "",
              keep_ ? "" : "Connection: close\r\n", "\r\n"),
          false);
}

void HttpServer::Connection::write(const std::string& text) {
  if (text.empty()) return;
  if (!chunked_) return enqueue(text, false);
  std::ostringstream size;
  size << std::hex << text.size();
  enqueue(cat(size.str(), "\r\n", text, "\r\n"), false);
}

void HttpServer::Connection::end() {
  enqueue(chunked_ ? "0\r\n\r\n" : "", true);
}

void HttpServer::Connection::dropped() {
  if (begun_) return leave();
  keep_ = false;
  send(refusal(500, "the request was lost"));
}

void HttpServer::Connection::enqueue(std::string bytes, bool last) {
  if (phase_ == Phase::kClosed || last_queued_) return;
  outgoing_.push_back(std::move(bytes));
  last_queued_ = last;
  if (!sending_) write_next();
}

void HttpServer::Connection::write_next() {
  if (outgoing_.empty()) {
    sending_ = false;
    if (last_queued_) answered();
    return;
  }
  sending_ = true;
  const auto self = shared_from_this();
  writing_.expires_after(core_->limits.write_time);
  writing_.async_wait([self](const error_code& stopped) {
    if (!stopped && self->sending_ && self->writing_.expiry() <= Clock::now()) self->leave();
  });
  auto on_sent = [self](const error_code& failed, size_t /*count*/) {
    if (self->phase_ == Phase::kClosed) return;
    self->writing_.cancel();
    if (failed) return self->leave();
    self->outgoing_.pop_front();
    self->write_next();
  };
  if (tls_) return asio::async_write(*tls_, asio::buffer(outgoing_.front()), std::move(on_sent));
  asio::async_write(socket_, asio::buffer(outgoing_.front()), std::move(on_sent));
}

// The client has the whole answer.
void HttpServer::Connection::answered() {
  last_queued_ = false;
  if (phase_ == Phase::kAnswering) --core_->busy;
  gone_.reset();
  if (!keep_ || core_->closing) {
    phase_ = Phase::kEnding;
    end_sending();
    limit_reading(kLinger, 0);
    return;
  }
  wait_for_request();
  if (incoming_.empty()) return;
  try {
    consume();  // the next request is here already
  } catch (const std::exception&) {
    leave();
  }
}

void HttpServer::Connection::wait_for_request() {
  phase_ = Phase::kIdle;
  limit_reading(core_->limits.idle_time, 0);
}

// After that time the client is told `status` and cut; 0: told nothing.
void HttpServer::Connection::limit_reading(std::chrono::milliseconds time, int status) {
  reading_.expires_after(time);
  reading_.async_wait([self = shared_from_this(), status](const error_code& stopped) {
    if (stopped || self->phase_ == Phase::kClosed || self->phase_ == Phase::kAnswering) return;
    if (self->reading_.expiry() > Clock::now()) return;  // it was set anew meanwhile
    if (status == 0) return self->leave();
    if (self->phase_ == Phase::kEnding) return;  // it was refused for something else
    self->refuse(refusal(status, "the request did not come in time"));
  });
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(
    const std::string& host, int port, HttpService service, const HttpLimits& limits,
    const std::optional<Certificate>& certificate) {
  std::unique_ptr<ssl::context> tls;
  if (certificate) {
    FASTVLM_ASSIGN(tls, tls_context(*certificate));
  }
  auto core = std::make_shared<Core>(std::move(service), limits, std::move(tls));
  FASTVLM_RETURN_IF_ERROR(core->listen(host, port));
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(core)));
}

HttpServer::~HttpServer() {
  core_->stop();
}

int HttpServer::port() const {
  return core_->port;
}

std::string HttpServer::url(const std::string& ip_address) const {
  const bool v6 = ip_address.find(':') != std::string::npos;
  return cat(core_->tls ? "https://" : "http://", v6 ? cat("[", ip_address, "]") : ip_address, ":",
             core_->port, "/");
}

size_t HttpServer::connections() const {
  return core_->open;
}

void HttpServer::close_idle() {
  asio::post(core_->io, [core = core_] { core->close_idle(); });
}

bool HttpServer::wait_until_quiet(std::chrono::milliseconds most) const {
  const auto end = Clock::now() + most;
  while (core_->busy > 0 && Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return core_->busy == 0;
}

bool is_loopback(const std::string& host) {
  error_code failed;
  const asio::ip::address where = parsed_address(host, failed);
  return !failed && where.is_loopback();
}

}  // namespace fastvlm

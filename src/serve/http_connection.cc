// SPDX-License-Identifier: Apache-2.0
#include "serve/http_connection.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <exception>
#include <sstream>
#include <string_view>

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

}  // namespace

// The answer that a handler gives, from any thread.
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

HttpServer::Connection::Connection(std::shared_ptr<Core> core, tcp::socket socket)
    : core_(std::move(core)),
      socket_(std::move(socket)),
      reading_(socket_.get_executor()),
      writing_(socket_.get_executor()) {
  error_code failed;
  client_ = socket_.remote_endpoint(failed).address().to_string();
  socket_.set_option(tcp::no_delay(true), failed);
  if (core_->tls) tls_.emplace(socket_, *core_->tls);
}

void HttpServer::Connection::start() {
  if (tls_) return shake_hands();
  wait_for_request();
  read();
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

}  // namespace fastvlm

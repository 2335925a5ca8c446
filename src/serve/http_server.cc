// SPDX-License-Identifier: Apache-2.0
#include "serve/http_server.h"

#include <openssl/ssl.h>

#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <exception>

#include "base/strings.h"
#include "serve/http_connection.h"

namespace fastvlm {
namespace {

namespace asio = boost::asio;
namespace ssl = boost::asio::ssl;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

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

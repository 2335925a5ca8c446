// SPDX-License-Identifier: Apache-2.0
#include "cli/page_server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

namespace fastvlm::cli {
namespace {

constexpr size_t kMostHeaderBytes = 16 * 1024;
constexpr size_t kMostBodyBytes = 64 * 1024;
constexpr timeval kPatience = {5, 0};  // for each read and write

class Connection {
 public:
  explicit Connection(int socket) : socket_(socket) {
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() { ::close(socket_); }

  // Appends what comes; false at the end, after the patience, or on an error.
  bool read_more(std::string& into) const {
    char buffer[4096];
    const ssize_t count = ::recv(socket_, buffer, sizeof buffer, 0);
    if (count <= 0) return false;
    into.append(buffer, static_cast<size_t>(count));
    return true;
  }
  void write(const std::string& bytes) const {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const ssize_t count = ::send(socket_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;  // the page was closed
      sent += static_cast<size_t>(count);
    }
  }

 private:
  int socket_;
};

// The value of a header in `head`, which ends each line with CR LF; empty when it is not there.
std::string header(const std::string& head, const std::string& name) {
  for (size_t line = head.find("\r\n"); line != std::string::npos; line = head.find("\r\n", line)) {
    line += 2;
    const std::string_view rest = std::string_view(head).substr(line);
    if (!starts_with_ignoring_case(rest, name + ":")) continue;
    const std::string_view value = rest.substr(name.size() + 1);
    return std::string(trimmed(value.substr(0, value.find("\r\n"))));
  }
  return {};
}

PageAnswer refused(int status, const std::string& why) {
  return {status, "text/plain; charset=utf-8", why + "\n"};
}

struct Received {
  PageRequest request;
  std::optional<PageAnswer> refusal;
};

std::string host_of(const std::string& address) {
  return address.substr(7, address.size() - 8);  // between http:// and /
}

Received refuse(int status, const std::string& why) {
  return {{}, refused(status, why)};
}

Received receive(const Connection& connection, const std::string& host) {
  std::string bytes;
  size_t end = std::string::npos;
  while ((end = bytes.find("\r\n\r\n")) == std::string::npos) {
    if (bytes.size() > kMostHeaderBytes) return refuse(431, "the header is too long");
    if (!connection.read_more(bytes)) return refuse(400, "the request is not complete");
  }
  const std::string head = bytes.substr(0, end + 2);
  const std::string sent_to = header(head, "Host");
  const std::string port = host.substr(host.find(':'));
  if (sent_to != host && sent_to != "localhost" + port) return refuse(403, "not this host");
  Received received;
  PageRequest& request = received.request;
  const size_t method_end = head.find(' ');
  const size_t path_end = head.find(' ', method_end + 1);
  if (method_end == std::string::npos || path_end == std::string::npos) {
    return refuse(400, "no request line");
  }
  request.method = head.substr(0, method_end);
  request.path = head.substr(method_end + 1, path_end - method_end - 1);
  if (const size_t mark = request.path.find('?'); mark != std::string::npos) {
    request.query = request.path.substr(mark + 1);
    request.path.resize(mark);
  }
  if (request.method == "GET") return received;
  if (request.method != "POST") return refuse(405, "GET or POST");
  if (!header(head, "Content-Type").starts_with("application/json")) {
    return refuse(415, "expected application/json");
  }
  const std::string length = header(head, "Content-Length");
  size_t size = 0;
  const auto [stop, problem] = std::from_chars(length.data(), length.data() + length.size(), size);
  if (problem != std::errc() || stop != length.data() + length.size()) {
    return refuse(411, "expected Content-Length");
  }
  if (size > kMostBodyBytes) return refuse(413, "the body is too long");
  request.body = bytes.substr(end + 4);
  while (request.body.size() < size) {
    if (!connection.read_more(request.body)) return refuse(400, "the body is not complete");
  }
  request.body.resize(size);
  return received;
}

std::string written(const PageAnswer& answer) {
  return cat("HTTP/1.1 ", answer.status, answer.status == 200 ? " OK" : " Refused",
             "\r\nContent-Type: ", answer.type, "\r\nContent-Length: ", answer.body.size(),
             "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff"
             "\r\nConnection: close\r\n\r\n",
             answer.body);
}

Status socket_problem(const std::string& what) {
  return error(Code::kIo, cat(what, ": ", std::strerror(errno)), "choose another port with --port");
}

}  // namespace

Result<PageServer> PageServer::listen(int port) {
  PageServer server;
  server.socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server.socket_ < 0) return socket_problem("cannot open a socket");
  constexpr int kYes = 1;
  ::setsockopt(server.socket_, SOL_SOCKET, SO_REUSEADDR, &kYes, sizeof kYes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  socklen_t size = sizeof address;
  if (::bind(server.socket_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(server.socket_, 16) != 0 ||
      ::getsockname(server.socket_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return socket_problem(cat("cannot listen on 127.0.0.1:", port));
  }
  server.port_ = ntohs(address.sin_port);
  return server;
}

PageServer::PageServer(PageServer&& other) noexcept
    : socket_(std::exchange(other.socket_, -1)), port_(other.port_) {}

PageServer::~PageServer() {
  if (socket_ >= 0) ::close(socket_);
}

std::string PageServer::address() const {
  return cat("http://127.0.0.1:", port_, "/");
}

Status PageServer::serve(const std::function<PageAnswer(const PageRequest&)>& answer) const {
  const std::string host = host_of(address());
  while (true) {
    const int accepted = ::accept4(socket_, nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return socket_problem("cannot accept a connection");
    }
    const Connection connection(accepted);
    const Received received = receive(connection, host);
    connection.write(written(received.refusal ? *received.refusal : answer(received.request)));
  }
}

std::string query_value(const std::string& query, const std::string& key) {
  for (const std::string& part : split(query, '&')) {
    if (!part.starts_with(key + "=")) continue;
    std::string value;
    for (size_t i = key.size() + 1; i < part.size(); ++i) {
      unsigned code = 0;
      const char* digits = part.data() + i + 1;
      const bool escaped = part[i] == '%' && i + 2 < part.size() &&
                           std::from_chars(digits, digits + 2, code, 16).ptr == digits + 2;
      value += escaped ? static_cast<char>(code) : part[i] == '+' ? ' ' : part[i];
      if (escaped) i += 2;
    }
    return value;
  }
  return {};
}

}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
// HTTP(S) GET over libcurl, for downloads that may be large, slow and cut off. Goals: certificates
// are always checked, redirects stay on HTTPS (or on this machine), a dead connection ends in an
// error and not in a hang, no header or token leaves for another host.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"

namespace fastvlm {

struct HttpRange {
  uint64_t first = 0;
  std::optional<uint64_t> last;  // inclusive, as in the Range header; empty = to the end
};

struct FetchRequest {
  std::string url;           // https://, or http:// to a loopback address
  std::string bearer_token;  // empty = none; never sent on to another host
  std::optional<HttpRange> range;
  // An ETag: the server answers in full (200) when the file has changed since.
  std::string if_range;
  // Of an address that a stranger has named: asked with each IP address before it is called, and
  // nothing but these is: no redirect is followed and no proxy used.
  std::function<bool(const std::string& ip_address)> may_connect;
  std::chrono::seconds most{0};  // for all of it; 0: only a dead connection ends it
};

struct FetchAnswer {
  long status = 0;   // 200 or 206; anything else is an error Status
  std::string etag;  // as the server writes it, quotes included; empty when it does not say
  std::optional<uint64_t> total_bytes;  // of the whole file, also when a part was asked for
};

// An answer that is taken whole, whatever its status.
struct HttpReply {
  long status = 0;
  std::string body;
  std::string retry_after;  // as the server writes it: seconds or a date; empty where it does not
};

class HttpClient {
 public:
  // `cancelled` may be set by a signal handler; transfers then end with Code::kInterrupted.
  explicit HttpClient(const std::atomic<bool>* cancelled = nullptr) : cancelled_(cancelled) {}

  // Called once before the first byte of a body, then for each piece of it; an error ends the
  // transfer.
  using OnAnswer = std::function<Status(const FetchAnswer&)>;
  using OnBytes = std::function<Status(std::span<const std::byte>)>;

  // A transfer that broke off is Code::kIo and worth another try; a refusal of the server (404,
  // 401, 403, ...) is kNotFound or kInvalid and is not.
  Result<FetchAnswer> get(const FetchRequest& request, const OnAnswer& on_answer,
                          const OnBytes& on_bytes) const;

  // The whole body, at most `limit` bytes.
  Result<std::string> get_text(const FetchRequest& request, size_t limit = size_t{64} << 20) const;

  // Sends `body` and waits up to ten minutes for the first byte of an answer. A redirect is not
  // followed. Errors: those of get() for a transfer that broke off, kLimit; what a server refuses
  // is a reply with its status. Several threads may post at once.
  Result<HttpReply> post_json(const FetchRequest& request, const std::string& body,
                              size_t limit = size_t{16} << 20) const;

 private:
  const std::atomic<bool>* cancelled_;
};

// https anywhere, http only to this machine (tests, mirrors behind a tunnel); no user name or
// password in the address.
Status check_url(const std::string& url);
// The host that an address names, as libcurl reads it, in small letters; empty: it is none.
std::string host_of_url(const std::string& url);
// "https://host/a b" -> "https://host/a%20b": the path of a file in a repository as part of a URL.
std::string url_path_escaped(std::string_view path);

}  // namespace fastvlm

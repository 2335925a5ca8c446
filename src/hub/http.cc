// SPDX-License-Identifier: Apache-2.0
#include "hub/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <memory>

#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr long kConnectSeconds = 30;
constexpr long kStalledSeconds = 60;    // this long below one byte a second is a dead connection
constexpr long kThinkingSeconds = 600;  // a model may be silent for that long before it answers
constexpr long kRedirects = 10;

using Url = std::unique_ptr<CURLU, void (*)(CURLU*)>;

// `url`, or `url` as a redirect from `base` writes it, taken apart by libcurl itself: a reading of
// our own could see another host than the one that is then called.
Url parsed(const std::string& url, const std::string& base = "") {
  constexpr unsigned kAnyScheme = CURLU_NON_SUPPORT_SCHEME;
  const unsigned lenience = base.empty() ? 0U : CURLU_URLENCODE;  // redirects may hold blanks
  Url parts(curl_url(), curl_url_cleanup);
  const bool based = base.empty() || curl_url_set(parts.get(), CURLUPART_URL, base.c_str(),
                                                  kAnyScheme) == CURLUE_OK;
  if (!based ||
      curl_url_set(parts.get(), CURLUPART_URL, url.c_str(), kAnyScheme | lenience) != CURLUE_OK)
    parts.reset();
  return parts;
}

// Empty when the URL has no such part.
std::string part_of(const Url& url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, 0) != CURLUE_OK) return {};
  const std::unique_ptr<char, void (*)(void*)> owned(text, curl_free);
  return text;
}

// One transfer: what libcurl's callbacks need to know.
struct Transfer {
  CURL* curl = nullptr;
  const FetchRequest* request = nullptr;
  const HttpClient::OnAnswer* on_answer = nullptr;
  const HttpClient::OnBytes* on_bytes = nullptr;
  const std::atomic<bool>* cancelled = nullptr;
  FetchAnswer answer;
  std::string content_range;
  std::string retry_after;
  bool announced = false;
  bool any_status = false;  // refusals are taken too
  Status failure;

  bool accepted() const { return any_status || answer.status == 200 || answer.status == 206; }

  // Reads the status line's code and the total size, and tells the caller once.
  bool announce() {
    if (announced) return failure.ok();
    announced = true;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
    if (!accepted()) return true;
    const size_t slash = content_range.rfind('/');
    if (answer.status == 206 && slash != std::string::npos) {
      uint64_t total = 0;
      const char* end = content_range.data() + content_range.size();
      if (std::from_chars(content_range.data() + slash + 1, end, total).ec == std::errc())
        answer.total_bytes = total;
    } else if (answer.status == 200) {
      curl_off_t length = -1;
      curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
      if (length >= 0) answer.total_bytes = static_cast<uint64_t>(length);
    }
    failure = (*on_answer)(answer);
    return failure.ok();
  }

  // Whether libcurl may follow a redirect: to what check_url() lets through, and never from HTTPS
  // to HTTP.
  bool may_follow(const std::string& location) {
    char* from = nullptr;
    curl_easy_getinfo(curl, CURLINFO_EFFECTIVE_URL, &from);
    const std::string here = from != nullptr ? from : "";
    const Url there = parsed(location, here);
    const std::string target = there ? part_of(there, CURLUPART_URL) : location;
    const bool downgrade =
        lower_case(here).starts_with("https:") && !lower_case(target).starts_with("https:");
    if (check_url(target).ok() && !downgrade) return true;
    failure = error(Code::kInvalid, cat(here, ": redirects to ", target, ", which is not HTTPS"),
                    "check the address: only HTTPS is followed, except on this machine itself");
    return false;
  }
};

size_t on_header(char* data, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size);
  if (line.starts_with("HTTP/")) {  // a redirect's headers come first; only the last answer counts
    transfer.answer.etag.clear();
    transfer.content_range.clear();
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return size;
  const std::string name = lower_case(line.substr(0, colon));
  const std::string value(trimmed(line.substr(colon + 1)));
  if (name == "etag") transfer.answer.etag = value;
  if (name == "content-range") transfer.content_range = value;
  if (name == "retry-after") transfer.retry_after = value;
  if (name == "location") {
    long status = 0;
    curl_easy_getinfo(transfer.curl, CURLINFO_RESPONSE_CODE, &status);
    if (status / 100 == 3 && !transfer.may_follow(value)) return 0;
  }
  return size;
}

size_t on_body(char* data, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  if (!transfer.announce()) return 0;
  if (!transfer.accepted()) return 0;  // nobody reads the page of an error, however long it is
  transfer.failure = (*transfer.on_bytes)(std::as_bytes(std::span(data, size)));
  return transfer.failure.ok() ? size : 0;
}

// In place of libcurl's own socket(): the name has been looked up, and this is what it stands for
// now.
curl_socket_t on_connect(void* user, curlsocktype /*purpose*/, curl_sockaddr* to) {
  auto& transfer = *static_cast<Transfer*>(user);
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (to->family == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&to->addr)->sin_addr, text.data(),
              text.size());
  } else if (to->family == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<sockaddr_in6*>(&to->addr)->sin6_addr, text.data(),
              text.size());
  }
  if (!transfer.request->may_connect(text.data())) {
    transfer.failure =
        error(Code::kInvalid, cat(transfer.request->url, ": its host is in no public network"));
    return CURL_SOCKET_BAD;
  }
  return ::socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& transfer = *static_cast<Transfer*>(user);
  return transfer.cancelled != nullptr && transfer.cancelled->load() ? 1 : 0;
}

Status refusal(const FetchRequest& request, const Transfer& transfer) {
  const long status = transfer.answer.status;
  std::string what = cat(request.url, ": the server answered ", status);
  if (status == 404 || status == 410) {
    return error(Code::kNotFound, what + " (no such file)",
                 "check the name; `fastvlm pull --list` shows the known ones");
  }
  if (status == 401 || status == 403) {
    return error(Code::kInvalid, what + " (not allowed)",
                 "the model may be private or gated: accept its terms on its page and set HF_TOKEN "
                 "to an access token");
  }
  if (status == 416)
    return error(Code::kInvalid, what + " (range past the end)",
                 "remove the partial file and try again");
  const bool passing = status == 408 || status == 429 || status >= 500;
  return error(passing ? Code::kIo : Code::kInvalid, what,
               passing ? "try again later" : "check the address");
}

Status broken(const FetchRequest& request, const Transfer& transfer, CURLcode code) {
  if (!transfer.failure.ok()) return transfer.failure;
  if (code == CURLE_ABORTED_BY_CALLBACK) {
    return error(Code::kInterrupted, cat(request.url, ": interrupted"),
                 "run the same command again to go on");
  }
  if (code == CURLE_TOO_MANY_REDIRECTS) {
    return error(Code::kInvalid, cat(request.url, ": redirects more than ", kRedirects, " times"),
                 "check the address; the server sends its visitors in circles");
  }
  const bool certificate =
      code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
  if (certificate) {
    return error(Code::kInvalid, cat(request.url, ": the server's certificate cannot be verified"),
                 "install the package ca-certificates and check the clock");
  }
  return error(Code::kIo, cat(request.url, ": ", curl_easy_strerror(code)),
               "check the network and run the same command again: it goes on where it stopped");
}

}  // namespace

Status check_url(const std::string& url) {
  const Url parts =
      url.find("://") == std::string::npos ? Url(nullptr, curl_url_cleanup) : parsed(url);
  if (!parts) return error(Code::kUsage, cat("`", url, "` is not a URL"), "write https://...");
  const std::string scheme = lower_case(part_of(parts, CURLUPART_SCHEME));
  const std::string host = lower_case(part_of(parts, CURLUPART_HOST));
  const size_t authority = url.find("://") + 3;
  const bool names_user =
      url.substr(authority, url.find_first_of("/?#", authority) - authority).find('@') !=
          std::string::npos ||
      !part_of(parts, CURLUPART_USER).empty() || !part_of(parts, CURLUPART_PASSWORD).empty();
  if (names_user) {
    // The message leaves the address out: it may hold a password.
    return error(Code::kUsage, cat("the address of ", host, " holds a user name or password"),
                 "leave out what stands before `@`; an access token goes into HF_TOKEN");
  }
  if (scheme == "https") return {};
  if (scheme == "http" && (host == "localhost" || host == "127.0.0.1" || host == "[::1]"))
    return {};
  return error(Code::kUsage, cat(url, ": expected https://, found ", scheme, "://"),
               "only HTTPS is used, except to this machine itself");
}

std::string host_of_url(const std::string& url) {
  const Url parts =
      url.find("://") == std::string::npos ? Url(nullptr, curl_url_cleanup) : parsed(url);
  return parts ? lower_case(part_of(parts, CURLUPART_HOST)) : std::string();
}

std::string url_path_escaped(std::string_view path) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-_.~/").find(c) != std::string_view::npos) {
      escaped += c;
    } else {
      escaped += '%';
      escaped += kDigits[byte >> 4];
      escaped += kDigits[byte & 15];
    }
  }
  return escaped;
}

namespace {

using Curl = std::unique_ptr<CURL, void (*)(CURL*)>;

Result<Curl> start_curl() {
  static const bool kReady = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  Curl curl(kReady ? curl_easy_init() : nullptr, curl_easy_cleanup);
  if (curl) return curl;
  return error(Code::kIo, "libcurl could not be started", "check the installation of libcurl");
}

// What every transfer has in common.
void prepare(CURL* curl, const FetchRequest& request, Transfer& transfer) {
  transfer.curl = curl;
  transfer.request = &request;
  const auto set = [curl](CURLoption option, auto value) { curl_easy_setopt(curl, option, value); };
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_USERAGENT, "fastvlm.cpp");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, kRedirects);
  const bool secure = lower_case(request.url).starts_with("https:");
  set(CURLOPT_PROTOCOLS_STR, secure ? "https" : "http");
  set(CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http");
  if (!secure) set(CURLOPT_PROXY, "");  // an HTTP request never leaves this machine
  set(CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, kStalledSeconds);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, on_progress);
  set(CURLOPT_XFERINFODATA, &transfer);
  set(CURLOPT_HEADERFUNCTION, on_header);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_WRITEFUNCTION, on_body);
  set(CURLOPT_WRITEDATA, &transfer);
  if (request.may_connect) {
    set(CURLOPT_OPENSOCKETFUNCTION, on_connect);
    set(CURLOPT_OPENSOCKETDATA, &transfer);
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_PROXY, "");
  }
  set(CURLOPT_TIMEOUT, static_cast<long>(request.most.count()));
  if (!request.bearer_token.empty()) {
    set(CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    set(CURLOPT_XOAUTH2_BEARER, request.bearer_token.c_str());
  }
}

// Puts what comes behind `text`, as long as that stays within `limit` bytes.
HttpClient::OnBytes appender(std::string& text, size_t limit, const std::string& url) {
  return [&text, limit, &url](std::span<const std::byte> bytes) -> Status {
    if (text.size() + bytes.size() > limit) {
      return error(Code::kLimit, cat(url, ": the answer is longer than ", limit, " bytes"),
                   "check the address");
    }
    text.append(text_of(bytes));
    return {};
  };
}

}  // namespace

Result<FetchAnswer> HttpClient::get(const FetchRequest& request, const OnAnswer& on_answer,
                                    const OnBytes& on_bytes) const {
  FASTVLM_RETURN_IF_ERROR(check_url(request.url));
  FASTVLM_ASSIGN(const Curl curl, start_curl());
  Transfer transfer;
  transfer.on_answer = &on_answer;
  transfer.on_bytes = &on_bytes;
  transfer.cancelled = cancelled_;
  prepare(curl.get(), request, transfer);
  std::string range;
  std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(nullptr, curl_slist_free_all);
  if (request.range) {
    range = cat(request.range->first, "-", request.range->last ? cat(*request.range->last) : "");
    curl_easy_setopt(curl.get(), CURLOPT_RANGE, range.c_str());
    if (!request.if_range.empty()) {
      headers.reset(curl_slist_append(nullptr, cat("If-Range: ", request.if_range).c_str()));
      curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
    }
  }

  const CURLcode code = curl_easy_perform(curl.get());
  const bool refused = transfer.announced && !transfer.accepted();  // its page was not read
  if (code != CURLE_OK && !refused) return broken(request, transfer, code);
  if (!transfer.announce()) return transfer.failure;  // an empty body has announced nothing yet
  if (!transfer.accepted()) return refusal(request, transfer);
  return transfer.answer;
}

Result<HttpReply> HttpClient::post_json(const FetchRequest& request, const std::string& body,
                                        size_t limit) const {
  FASTVLM_RETURN_IF_ERROR(check_url(request.url));
  FASTVLM_ASSIGN(const Curl curl, start_curl());
  HttpReply reply;
  const OnAnswer on_answer = [](const FetchAnswer&) { return Status{}; };
  const OnBytes on_bytes = appender(reply.body, limit, request.url);
  Transfer transfer;
  transfer.on_answer = &on_answer;
  transfer.on_bytes = &on_bytes;
  transfer.cancelled = cancelled_;
  transfer.any_status = true;
  prepare(curl.get(), request, transfer);
  // Without Expect, for which many servers let a large body wait.
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> headers(
      curl_slist_append(curl_slist_append(nullptr, "Content-Type: application/json"), "Expect:"),
      curl_slist_free_all);
  curl_easy_setopt(curl.get(), CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl.get(), CURLOPT_LOW_SPEED_TIME, kThinkingSeconds);
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body.c_str());
  const CURLcode code = curl_easy_perform(curl.get());
  if (code != CURLE_OK) return broken(request, transfer, code);
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &reply.status);
  reply.retry_after = transfer.retry_after;
  return reply;
}

Result<std::string> HttpClient::get_text(const FetchRequest& request, size_t limit) const {
  std::string text;
  const auto answer = get(
      request, [](const FetchAnswer&) { return Status{}; }, appender(text, limit, request.url));
  if (!answer.ok()) return answer.status();
  return text;
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "serve/access.h"

#include <openssl/crypto.h>

#include <algorithm>

#include "base/sha256.h"
#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr size_t kShortestKey = 16;

}  // namespace

Result<std::vector<std::string>> parse_keys(std::string_view text, const std::string& name) {
  std::vector<std::string> keys;
  size_t number = 0;
  for (const std::string& line : split(text, '\n')) {
    ++number;
    const std::string key(trimmed(line));
    if (key.empty() || key.front() == '#') continue;
    const bool plain =
        std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < 127; });
    if (plain && key.size() >= kShortestKey) {
      keys.push_back(key);
      continue;
    }
    return error(Code::kInvalid,
                 cat(name, ": line ", number, ": expected a key of ", kShortestKey,
                     " or more characters without blanks, found ",
                     plain ? cat(key.size(), " characters") : std::string("others")),
                 "make one with `openssl rand -hex 24`");
  }
  if (!keys.empty()) return keys;
  return error(Code::kInvalid, cat(name, ": expected a key on a line, found none"),
               "make one with `openssl rand -hex 24`");
}

Keys::Keys(const std::vector<std::string>& keys) {
  for (const std::string& key : keys) digests_.push_back(sha256_hex(key));
}

bool Keys::accepts(std::string_view authorization) const {
  constexpr std::string_view kScheme = "bearer ";
  if (!starts_with_ignoring_case(authorization, kScheme)) return false;
  const std::string sent = sha256_hex(trimmed(authorization.substr(kScheme.size())));
  bool found = false;
  // In constant time; of digests, which are all as long, so that lengths tell nothing either.
  for (const std::string& digest : digests_) {
    found |= CRYPTO_memcmp(sent.data(), digest.data(), sent.size()) == 0;
  }
  return found;
}

bool names_loopback(std::string_view host_header) {
  const std::string host = lower_case(host_header);
  for (const char* name : {"localhost", "127.0.0.1", "[::1]"}) {
    if (host == name || host.starts_with(cat(name, ":"))) return true;
  }
  return false;
}

bool same_origin(std::string_view origin_header, std::string_view host_header) {
  if (origin_header.empty()) return true;
  const std::string host = lower_case(host_header);
  const std::string origin = lower_case(origin_header);
  return !host.empty() && (origin == "http://" + host || origin == "https://" + host);
}

}  // namespace fastvlm

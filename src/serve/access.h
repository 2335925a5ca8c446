// SPDX-License-Identifier: Apache-2.0
// Who may ask. Goals: a key that is compared in the same time whatever was sent; without keys, no
// page from elsewhere can use the browser of this machine to ask (DNS rebinding, forms that post
// across sites). Non-goals: users, quotas.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

// The keys of a file: one a line; empty lines and those that begin with # are skipped. kInvalid: no
// key, one shorter than 16 characters, or one with blanks or control characters. `name` stands in
// messages, the key never does.
Result<std::vector<std::string>> parse_keys(std::string_view text, const std::string& name);

class Keys {
 public:
  explicit Keys(const std::vector<std::string>& keys);

  bool any() const { return !digests_.empty(); }
  // Whether the header "Bearer KEY" names one of them.
  bool accepts(std::string_view authorization) const;

 private:
  std::vector<std::string> digests_;
};

// Whether a Host header is a name of this machine for itself, with any port or none.
bool names_loopback(std::string_view host_header);

// Whether a request comes from a page of this server, or from no page: an Origin header, if there
// is one, names the host of the Host header.
bool same_origin(std::string_view origin_header, std::string_view host_header);

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Pictures from addresses that a request names. Goals: only hosts that the server's owner has
// listed are called, and whatever name they have, no request reaches this machine or a private
// network.
#pragma once

#include <cstddef>
#include <set>
#include <string>

#include "base/result.h"

namespace fastvlm {

// Whether an IP address is one of the public Internet (IANA's registries of special addresses).
bool is_public_address(const std::string& ip_address);

class PictureFetch {
 public:
  PictureFetch(std::set<std::string> hosts, size_t most_bytes)
      : hosts_(std::move(hosts)), most_bytes_(most_bytes) {}

  // The bytes there, within ten seconds. kUnsupported: another host, or not https. kInvalid: what
  // the host answers. Any thread may call.
  Result<std::string> operator()(const std::string& address) const;

 private:
  std::set<std::string> hosts_;
  size_t most_bytes_;
};

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "serve/picture_fetch.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "base/strings.h"
#include "hub/http.h"

namespace fastvlm {
namespace {

struct Block {
  uint32_t first;
  int bits;
};

constexpr uint32_t v4(uint32_t a, uint32_t b, uint32_t c = 0) {
  return a << 24 | b << 16 | c << 8;
}

// RFC 6890 and its successors: this network, private, shared, loopback, link-local, assigned,
// documentation, benchmarks, multicast, reserved.
constexpr std::array<Block, 14> kSpecial = {{{v4(0, 0), 8},
                                             {v4(10, 0), 8},
                                             {v4(100, 64), 10},
                                             {v4(127, 0), 8},
                                             {v4(169, 254), 16},
                                             {v4(172, 16), 12},
                                             {v4(192, 0, 0), 24},
                                             {v4(192, 0, 2), 24},
                                             {v4(192, 88, 99), 24},
                                             {v4(192, 168), 16},
                                             {v4(198, 18), 15},
                                             {v4(198, 51, 100), 24},
                                             {v4(203, 0, 113), 24},
                                             {v4(224, 0), 3}}};

bool is_public_v4(uint32_t address) {
  return std::none_of(kSpecial.begin(), kSpecial.end(), [&](const Block& block) {
    return (address ^ block.first) >> (32 - block.bits) == 0;
  });
}

// Global unicast (2000::/3) without Teredo and other protocols (2001::/23), documentation, and
// 6to4, which has an IPv4 address in it.
bool is_public_v6(const std::array<uint8_t, 16>& a) {
  if ((a[0] & 0xe0) != 0x20) return false;
  const bool protocols = a[0] == 0x20 && a[1] == 0x01 && (a[2] & 0xfe) == 0;
  const bool documentation = (a[0] == 0x20 && a[1] == 0x01 && a[2] == 0x0d && a[3] == 0xb8) ||
                             (a[0] == 0x3f && a[1] == 0xff && (a[2] & 0xf0) == 0);
  const bool six_to_four = a[0] == 0x20 && a[1] == 0x02;
  return !protocols && !documentation && !six_to_four;
}

}  // namespace

bool is_public_address(const std::string& ip_address) {
  in_addr four{};
  if (inet_pton(AF_INET, ip_address.c_str(), &four) == 1) return is_public_v4(ntohl(four.s_addr));
  std::array<uint8_t, 16> six{};
  return inet_pton(AF_INET6, ip_address.c_str(), six.data()) == 1 && is_public_v6(six);
}

Result<std::string> PictureFetch::operator()(const std::string& address) const {
  const std::string host = host_of_url(address);
  if (!starts_with_ignoring_case(address, "https:") || !hosts_.contains(host)) {
    return error(Code::kUnsupported, cat("this server fetches no pictures from ", printable(host)),
                 cat("allowed are: ", joined(hosts_), "; or send the picture as a data: URI"));
  }
  FetchRequest request;
  request.url = address;
  request.may_connect = is_public_address;
  request.most = std::chrono::seconds(10);
  auto bytes = HttpClient().get_text(request, most_bytes_);
  if (bytes.ok()) return bytes;
  // Whatever went wrong there, it is the request that named the place.
  return error(Code::kInvalid, bytes.status().message, "send the picture as a data: URI");
}

}  // namespace fastvlm

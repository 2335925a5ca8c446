// SPDX-License-Identifier: Apache-2.0
#include "serve/addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace fastvlm {
namespace {

void append_new(std::vector<std::string>& all, const std::string& one) {
  if (!one.empty() && std::find(all.begin(), all.end(), one) == all.end()) all.push_back(one);
}

// None: neither IPv4 nor IPv6, or one that only the neighbours on a wire understand.
std::string address_text(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address != nullptr && address->sa_family == AF_INET) {
    const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
    inet_ntop(AF_INET, &v4->sin_addr, text.data(), text.size());
  } else if (address != nullptr && address->sa_family == AF_INET6) {
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
    if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) return {};
    inet_ntop(AF_INET6, &v6->sin6_addr, text.data(), text.size());
  }
  return text.data();
}

// The address from which this machine would send to one far away; nothing is sent.
std::string default_route_address() {
  const int udp = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (udp < 0) return {};
  sockaddr_in far{};
  far.sin_family = AF_INET;
  far.sin_port = htons(9);
  inet_pton(AF_INET, "192.0.2.1", &far.sin_addr);  // RFC 5737: nobody's
  sockaddr_in own{};
  socklen_t size = sizeof own;
  const bool known = ::connect(udp, reinterpret_cast<const sockaddr*>(&far), sizeof far) == 0 &&
                     ::getsockname(udp, reinterpret_cast<sockaddr*>(&own), &size) == 0;
  ::close(udp);
  return known ? address_text(reinterpret_cast<const sockaddr*>(&own)) : std::string();
}

}  // namespace

std::vector<std::string> reachable_addresses(const std::string& host) {
  if (host == "localhost") return {"127.0.0.1"};
  if (host != "0.0.0.0" && host != "::") return {host};
  std::vector<std::string> found;
  append_new(found, default_route_address());
  ifaddrs* interfaces = nullptr;
  if (getifaddrs(&interfaces) == 0) {
    for (const int family : {AF_INET, AF_INET6}) {
      if (family == AF_INET6 && host == "0.0.0.0") continue;
      for (const ifaddrs* one = interfaces; one != nullptr; one = one->ifa_next) {
        const bool up = (one->ifa_flags & IFF_UP) != 0 && (one->ifa_flags & IFF_LOOPBACK) == 0;
        if (!up || one->ifa_addr == nullptr || one->ifa_addr->sa_family != family) continue;
        append_new(found, address_text(one->ifa_addr));
      }
    }
    freeifaddrs(interfaces);
  }
  append_new(found, host == "::" ? "::1" : "127.0.0.1");
  return found;
}

std::vector<std::string> certificate_names(const std::string& host) {
  std::vector<std::string> names = reachable_addresses(host);
  for (const char* own : {"localhost", "127.0.0.1", "::1"}) append_new(names, own);
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) == 0) {
    const std::string plain = name.data();
    append_new(names, plain);
    if (plain.find('.') == std::string::npos) append_new(names, plain + ".local");
  }
  return names;
}

}  // namespace fastvlm

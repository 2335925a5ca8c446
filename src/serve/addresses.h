// SPDX-License-Identifier: Apache-2.0
// Under which names people reach a server.
#pragma once

#include <string>
#include <vector>

namespace fastvlm {

// The IP addresses under which one that listens on `host` is reached, the likeliest first: `host`
// itself or, for 0.0.0.0 and ::, those of this machine's networks, that of the default route first.
std::vector<std::string> reachable_addresses(const std::string& host);

// What a certificate must name so that no browser complains: these, this machine's own names for
// itself, and its name in the network, plain and with .local.
std::vector<std::string> certificate_names(const std::string& host);

}  // namespace fastvlm

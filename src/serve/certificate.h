// SPDX-License-Identifier: Apache-2.0
// What a server shows to prove who it is (X.509, in PEM). Goals: a pair that does not fit is found
// at the start, with the file's name; one of our own making that browsers and phones take after one
// question. Non-goals: authorities, renewal by ACME, client certificates.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct Certificate {
  std::string chain;  // PEM, the server's own first
  std::string key;    // PEM, without a passphrase

  // SHA-256 of the server's own certificate as browsers show it, "AB:01:…".
  std::string fingerprint() const;
};

// kInvalid: a file has no certificate or key in it, the key is that of another certificate or is
// locked by a passphrase, or the certificate is not valid today.
Result<Certificate> read_certificate(const std::filesystem::path& chain,
                                     const std::filesystem::path& key);

// A new pair (ECDSA over P-256) signed by itself, valid for `days`, for these host names and IP
// addresses.
Result<Certificate> make_certificate(const std::vector<std::string>& names, int days);

// The pair in FOLDER/server.pem if it is one for these names and lasts for another month; else a
// new one, kept there for the next start, so that a browser asks about it once. Only the owner may
// look into the folder.
Result<Certificate> kept_certificate(const std::filesystem::path& folder,
                                     const std::vector<std::string>& names);

}  // namespace fastvlm

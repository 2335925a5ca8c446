// SPDX-License-Identifier: Apache-2.0
#include "serve/certificate.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <memory>
#include <system_error>

#include "base/mapped_file.h"
#include "base/strings.h"
#include "formats/atomic_file.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLargestFile = size_t{1} << 20;
constexpr int kDays = 397;  // the longest that Apple's devices take
constexpr int kDaysLeft = 30;
constexpr long kDaySeconds = 24L * 60 * 60;

template <auto Free>
struct Freed {
  template <typename T>
  void operator()(T* pointer) const {
    Free(pointer);
  }
};
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using X509Pointer = std::unique_ptr<X509, Freed<X509_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using ExtensionPointer = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;

Bio reader(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string text_of(BIO* bio) {
  const char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<size_t>(size)};
}

X509Pointer first_certificate(const std::string& pem) {
  return X509Pointer(PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
}

// Nobody is asked for a passphrase.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*user*/) {
  return 0;
}

KeyPointer key_of(const std::string& pem) {
  return KeyPointer(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, no_passphrase, nullptr));
}

Status openssl_failed(std::string_view what) {
  std::array<char, 256> reason{};
  ERR_error_string_n(ERR_get_error(), reason.data(), reason.size());
  ERR_clear_error();
  return error(Code::kIo, cat("could not ", what, ": ", reason.data()));
}

// As openssl.cnf has it: "IP:127.0.0.1,DNS:localhost".
std::string alternative_names(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) {
    const std::unique_ptr<ASN1_OCTET_STRING, Freed<ASN1_OCTET_STRING_free>> address(
        a2i_IPADDRESS(name.c_str()));
    text += cat(text.empty() ? "" : ",", address ? "IP:" : "DNS:", name);
  }
  ERR_clear_error();
  return text;
}

bool add_extension(X509* certificate, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  const ExtensionPointer extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool fill_in(X509* certificate, EVP_PKEY* key, const std::vector<std::string>& names, int days) {
  std::array<unsigned char, 16> number{};
  if (RAND_bytes(number.data(), static_cast<int>(number.size())) != 1) return false;
  number[0] &= 0x7f;  // a serial number is positive
  const std::unique_ptr<BIGNUM, Freed<BN_free>> serial(
      BN_bin2bn(number.data(), static_cast<int>(number.size()), nullptr));
  X509_NAME* subject = X509_get_subject_name(certificate);
  const auto* common_name = reinterpret_cast<const unsigned char*>("fastvlm");
  return serial && BN_to_ASN1_INTEGER(serial.get(), X509_get_serialNumber(certificate)) &&
         X509_set_version(certificate, 2) == 1 &&
         X509_gmtime_adj(X509_getm_notBefore(certificate), -kDaySeconds) &&  // clocks differ
         X509_gmtime_adj(X509_getm_notAfter(certificate), days * kDaySeconds) &&
         X509_set_pubkey(certificate, key) == 1 &&
         X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_UTF8, common_name, -1, -1,
                                    0) == 1 &&
         X509_set_issuer_name(certificate, subject) == 1 &&
         add_extension(certificate, NID_basic_constraints, "critical,CA:FALSE") &&
         add_extension(certificate, NID_key_usage, "critical,digitalSignature") &&
         add_extension(certificate, NID_ext_key_usage, "serverAuth") &&
         add_extension(certificate, NID_subject_alt_name, alternative_names(names)) &&
         X509_sign(certificate, key, EVP_sha256()) > 0;
}

bool lasts_for(X509* certificate, int days) {
  time_t then = time(nullptr) + days * kDaySeconds;
  return X509_cmp_time(X509_get0_notAfter(certificate), &then) > 0;
}

bool is_for(X509* certificate, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (X509_check_ip_asc(certificate, name.c_str(), 0) == 1) continue;
    if (X509_check_host(certificate, name.c_str(), name.size(), 0, nullptr) != 1) return false;
  }
  return true;
}

}  // namespace

std::string Certificate::fingerprint() const {
  const X509Pointer certificate = first_certificate(chain);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (!certificate || X509_digest(certificate.get(), EVP_sha256(), digest.data(), &size) != 1) {
    return {};
  }
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string text;
  for (unsigned i = 0; i < size; ++i) {
    if (i > 0) text += ':';
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

Result<Certificate> read_certificate(const fs::path& chain, const fs::path& key) {
  Certificate pair;
  FASTVLM_ASSIGN(pair.chain, read_text_file(chain, kLargestFile));
  FASTVLM_ASSIGN(pair.key, read_text_file(key, kLargestFile));
  const X509Pointer certificate = first_certificate(pair.chain);
  const KeyPointer private_key = key_of(pair.key);
  ERR_clear_error();
  if (!certificate) {
    return error(Code::kInvalid, cat(chain.string(), ": expected a certificate in PEM form"),
                 "its first line is -----BEGIN CERTIFICATE-----");
  }
  if (!private_key) {
    return error(Code::kInvalid,
                 cat(key.string(), ": expected a private key in PEM form without a passphrase"),
                 "its first line is -----BEGIN PRIVATE KEY-----; `openssl pkey -in OLD -out NEW` "
                 "takes a passphrase away");
  }
  const bool fits = X509_check_private_key(certificate.get(), private_key.get()) == 1;
  ERR_clear_error();
  if (!fits) {
    return error(Code::kInvalid,
                 cat(key.string(), ": this is not the key of the certificate in ", chain.string()),
                 "the server's own certificate stands first in its file");
  }
  if (!lasts_for(certificate.get(), 0) ||
      X509_cmp_current_time(X509_get0_notBefore(certificate.get())) > 0) {
    return error(Code::kInvalid, cat(chain.string(), ": the certificate is not valid today"),
                 cat("`openssl x509 -noout -dates -in ", chain.string(), "` shows its dates"));
  }
  return pair;
}

Result<Certificate> make_certificate(const std::vector<std::string>& names, int days) {
  const KeyPointer key(EVP_EC_gen("P-256"));
  const X509Pointer certificate(X509_new());
  if (!key || !certificate || !fill_in(certificate.get(), key.get(), names, days)) {
    return openssl_failed("make a certificate");
  }
  const Bio chain(BIO_new(BIO_s_mem()));
  const Bio secret(BIO_new(BIO_s_mem()));
  if (!chain || !secret || PEM_write_bio_X509(chain.get(), certificate.get()) != 1 ||
      PEM_write_bio_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) !=
          1) {
    return openssl_failed("write a certificate");
  }
  return Certificate{text_of(chain.get()), text_of(secret.get())};
}

Result<Certificate> kept_certificate(const fs::path& folder,
                                     const std::vector<std::string>& names) {
  const fs::path path = folder / "server.pem";
  if (fs::exists(path)) {
    Result<Certificate> kept = read_certificate(path, path);
    if (kept.ok()) {
      const X509Pointer certificate = first_certificate(kept->chain);
      if (lasts_for(certificate.get(), kDaysLeft) && is_for(certificate.get(), names)) return kept;
    }
  }
  FASTVLM_ASSIGN(const Certificate made, make_certificate(names, kDays));
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (!failed) fs::permissions(folder, fs::perms::owner_all, failed);
  if (failed) {
    return error(Code::kIo, cat(folder.string(), ": ", failed.message()),
                 "--tls-cert and --tls-key use a certificate of yours");
  }
  FASTVLM_RETURN_IF_ERROR(write_file_atomically(path, made.key + made.chain));
  return made;
}

}  // namespace fastvlm

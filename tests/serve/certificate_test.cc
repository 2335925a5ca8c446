// SPDX-License-Identifier: Apache-2.0
#include "serve/certificate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "base/strings.h"
#include "serve/addresses.h"
#include "serve/http_server.h"
#include "serve/qr_code.h"
#include "support/files.h"
#include "support/http_client.h"

namespace fastvlm {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;

class CertificateTest : public testing::Test {
 protected:
  static Certificate made(const std::vector<std::string>& names = {"localhost", "127.0.0.1"},
                          int days = 10) {
    auto pair = make_certificate(names, days);
    EXPECT_TRUE(pair.ok()) << pair.status().message;
    return pair.ok() ? *pair : Certificate();
  }
  std::string written(const std::string& name, const std::string& text) {
    std::ofstream(folder_.path() / name) << text;
    return (folder_.path() / name).string();
  }
  // Why this pair is refused.
  Status refusal(const std::string& chain, const std::string& key) {
    return read_certificate(written("chain.pem", chain), written("key.pem", key)).status();
  }

  test::TemporaryFolder folder_;
};

TEST_F(CertificateTest, IsReadAsItWasMade) {
  const Certificate pair = made();
  const auto read = read_certificate(written("c.pem", pair.chain), written("k.pem", pair.key));
  ASSERT_TRUE(read.ok()) << read.status().message;
  EXPECT_EQ(read->chain, pair.chain);
  EXPECT_EQ(read->key, pair.key);
  EXPECT_EQ(pair.fingerprint().size(), 32 * 3 - 1u);
  EXPECT_NE(pair.fingerprint(), made().fingerprint());
}

TEST_F(CertificateTest, RefusesPairsThatDoNotFit) {
  const Certificate pair = made();
  EXPECT_THAT(refusal("no certificate", pair.key).message,
              HasSubstr("chain.pem: expected a certificate in PEM form"));
  EXPECT_THAT(refusal(pair.chain, "no key").message, HasSubstr("key.pem: expected a private key"));
  EXPECT_THAT(refusal(pair.chain, made().key).message,
              HasSubstr("key.pem: this is not the key of the certificate in"));
  const Certificate past = made({"localhost"}, 0);
  EXPECT_THAT(refusal(past.chain, past.key).message, HasSubstr("is not valid today"));
  EXPECT_EQ(
      read_certificate(folder_.path() / "none.pem", folder_.path() / "none.pem").status().code,
      Code::kNotFound);
}

TEST_F(CertificateTest, IsKeptWhileItServes) {
  const fs::path kept = folder_.path() / "tls";
  const auto first = kept_certificate(kept, {"localhost", "192.168.1.5"});
  ASSERT_TRUE(first.ok()) << first.status().message;
  EXPECT_EQ(fs::status(kept).permissions(), fs::perms::owner_all);
  const auto again = kept_certificate(kept, {"192.168.1.5"});
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->fingerprint(), first->fingerprint());
  // Another name, one that is nearly over, a file that was damaged.
  const auto other = kept_certificate(kept, {"localhost", "192.168.1.6"});
  ASSERT_TRUE(other.ok());
  EXPECT_NE(other->fingerprint(), first->fingerprint());
  const Certificate old = made({"localhost"}, 20);
  std::ofstream(kept / "server.pem") << old.key + old.chain;
  const auto renewed = kept_certificate(kept, {"localhost"});
  ASSERT_TRUE(renewed.ok());
  EXPECT_NE(renewed->fingerprint(), old.fingerprint());
  std::ofstream(kept / "server.pem") << "damaged";
  EXPECT_TRUE(kept_certificate(kept, {"localhost"}).ok());
}

TEST(Addresses, AreTheHostOrThoseOfTheNetworks) {
  EXPECT_EQ(reachable_addresses("192.168.1.5"), std::vector<std::string>{"192.168.1.5"});
  EXPECT_EQ(reachable_addresses("localhost"), std::vector<std::string>{"127.0.0.1"});
  const auto all = reachable_addresses("0.0.0.0");
  EXPECT_THAT(all, Contains("127.0.0.1"));
  EXPECT_EQ(all.back(), "127.0.0.1") << "the least likely one";
  EXPECT_THAT(certificate_names("0.0.0.0"), testing::IsSupersetOf({"localhost", "127.0.0.1"}));
}

TEST(QrCode, HasTheThreeCornersInsideAnEmptyBorder) {
  const std::string code =
      qr_code("https://192.168.1.5:8080/#key=0123456789abcdef0123456789abcdef");
  ASSERT_NE(code, "");
  const auto lines = split(code, '\n');
  const size_t side = lines.size() * 2;
  EXPECT_GT(side, 30u);
  EXPECT_THAT(lines[0], HasSubstr("\033[97;40m█████"));
  EXPECT_THAT(lines[0], testing::Not(HasSubstr("▀")));
  EXPECT_THAT(lines[2], HasSubstr("████ ▄▄▄▄▄ "));  // of the first corner's ring the upper edge
  EXPECT_EQ(qr_code(std::string(5000, 'x')), "");
}

// A client that trusts one certificate alone, and checks that it is for 127.0.0.1.
class TlsClient {
 public:
  TlsClient(int port, const std::string& trusted) : socket_(test::connect_to(port)) {
    context_.reset(SSL_CTX_new(TLS_client_method()));
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(
        BIO_new_mem_buf(trusted.data(), static_cast<int>(trusted.size())), BIO_free_all);
    const std::unique_ptr<X509, decltype(&X509_free)> certificate(
        PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr), X509_free);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context_.get()), certificate.get());
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context_.get()), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    tls_.reset(SSL_new(context_.get()));
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls_.get()), "127.0.0.1");
    SSL_set_fd(tls_.get(), socket_);
    connected_ = SSL_connect(tls_.get()) == 1;
  }
  TlsClient(const TlsClient&) = delete;
  TlsClient& operator=(const TlsClient&) = delete;
  ~TlsClient() {
    tls_.reset();
    ::close(socket_);
  }

  bool connected() const { return connected_; }
  void send(const std::string& bytes) {
    SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()));
  }
  std::string read_until(const std::string& mark) {
    while (text_.find(mark) == std::string::npos && more()) {
    }
    return text_;
  }
  // What comes until the server says that nothing more does; `polite`: it said so.
  std::string read_all(bool* polite) {
    while (more()) {
    }
    *polite = (SSL_get_shutdown(tls_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
    return text_;
  }

 private:
  bool more() {
    char buffer[16384];
    const int count = SSL_read(tls_.get(), buffer, sizeof buffer);
    if (count > 0) text_.append(buffer, static_cast<size_t>(count));
    return count > 0;
  }

  int socket_;
  bool connected_ = false;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{nullptr, SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> tls_{nullptr, SSL_free};
  std::string text_;
};

class TlsServerTest : public CertificateTest {
 protected:
  void start(const HttpLimits& limits = {}) {
    certificate_ = made();
    auto server = HttpServer::start(
        "127.0.0.1", 0,
        {[](const HttpRequest& /*head*/) { return std::nullopt; },
         [](const HttpRequest& request, const std::shared_ptr<Reply>& reply) {
           reply->send({200, "text/plain",
                        cat(request.body.size(), " bytes, then ", request.body.substr(0, 5))});
         }},
        limits, certificate_);
    ASSERT_TRUE(server.ok()) << server.status().message;
    server_ = std::move(*server);
  }

  Certificate certificate_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(TlsServerTest, AnswersClientsThatTrustIt) {
  start();
  EXPECT_EQ(server_->url("127.0.0.1"), cat("https://127.0.0.1:", server_->port(), "/"));
  TlsClient client(server_->port(), certificate_.chain);
  ASSERT_TRUE(client.connected());
  client.send(test::http_request("POST", "/", "", std::string(300'000, 'a')));
  EXPECT_THAT(client.read_until("aaaaa"), HasSubstr("300000 bytes, then aaaaa"));
  client.send(test::http_request("POST", "/", "Connection: close\r\n", "again"));
  bool polite = false;
  EXPECT_THAT(client.read_all(&polite), HasSubstr("5 bytes, then again"));
  EXPECT_TRUE(polite) << "the answer could have been cut by somebody else";
}

TEST_F(TlsServerTest, IsNotTrustedWithAnotherCertificate) {
  start();
  EXPECT_FALSE(TlsClient(server_->port(), made().chain).connected());
  EXPECT_TRUE(TlsClient(server_->port(), certificate_.chain).connected());
}

TEST_F(TlsServerTest, TellsPlainClientsAndCutsSilentOnes) {
  HttpLimits limits;
  limits.header_time = std::chrono::milliseconds(200);
  start(limits);
  test::HttpClient plain(server_->port());
  plain.send(test::http_request("GET", "/"));
  EXPECT_THAT(plain.read_all(), HasSubstr("this server speaks TLS"));
  test::HttpClient silent(server_->port());
  EXPECT_EQ(silent.read_all(), "");
  EXPECT_TRUE(silent.closed());
  test::HttpClient noise(server_->port());
  noise.send("\x16\x03\x01\x02\x01 this is no handshake at all, only some bytes");
  noise.read_all();
  EXPECT_TRUE(noise.closed());
  EXPECT_TRUE(TlsClient(server_->port(), certificate_.chain).connected());
}

TEST_F(TlsServerTest, ACertificateThatIsNoneIsAnError) {
  const auto server = HttpServer::start("127.0.0.1", 0, {}, {}, Certificate{"none", "none"});
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.status().code, Code::kInvalid);
}

}  // namespace
}  // namespace fastvlm

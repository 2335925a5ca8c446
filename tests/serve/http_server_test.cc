// SPDX-License-Identifier: Apache-2.0
// The server against clients that send too much, too little, too slowly, or leave; after each it
// answers the next one.
#include "serve/http_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/strings.h"
#include "support/http_client.h"

namespace fastvlm {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// GET / says hello, POST /echo what was sent; /wait keeps its reply; what else is asked is refused.
class HttpServerTest : public testing::Test {
 protected:
  void start(const HttpLimits& limits = {}) {
    auto server = HttpServer::start(
        "127.0.0.1", 0,
        {[](const HttpRequest& head) -> std::optional<HttpAnswer> {
           const bool known = head.path == "/" || head.path == "/echo" || head.path == "/wait";
           if (known) return std::nullopt;
           return HttpAnswer{404, "text/plain", "no such page"};
         },
         [this](HttpRequest request, std::shared_ptr<Reply> reply) {
           if (request.path == "/wait") {
             const std::lock_guard lock(mutex_);
             kept_ = std::move(reply);
             changed_.notify_all();
             return;
           }
           reply->send({200, "text/plain", request.path == "/echo" ? request.body : "hello"});
         }},
        limits);
    ASSERT_TRUE(server.ok()) << server.status().message;
    server_ = std::move(*server);
  }
  void TearDown() override {
    if (!server_) return;
    EXPECT_EQ(test::ask(port(), "GET", "/").body, "hello") << "the server is not alive";
    kept_.reset();
    server_.reset();
  }
  int port() const { return server_->port(); }
  std::shared_ptr<Reply> kept() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [this] { return kept_ != nullptr; });
    return kept_;
  }
  // The reply to a request of `client`, of which "one" is sent; null: the request did not come.
  std::shared_ptr<Reply> begun_stream(test::HttpClient& client) {
    client.send(test::http_request("GET", "/wait"));
    auto reply = kept();
    if (!reply) return reply;
    reply->begin(200, "text/event-stream");
    reply->write("one");
    return reply;
  }
  static bool becomes_gone(const Reply& reply) {
    for (int i = 0; i < 3000 && !reply.gone(); ++i) std::this_thread::sleep_for(milliseconds(10));
    return reply.gone();
  }
  // What a client is told that sends this and then waits.
  std::string told(const std::string& bytes) {
    test::HttpClient client(port());
    client.send(bytes);
    const std::string text = client.read_all();
    EXPECT_TRUE(client.closed());
    return text;
  }

  std::unique_ptr<HttpServer> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Reply> kept_;
};

TEST_F(HttpServerTest, AnswersSeveralRequestsOfAConnection) {
  start();
  test::HttpClient client(port());
  client.send(test::http_request("POST", "/echo", "", "one"));
  EXPECT_THAT(client.read_until("\r\n\r\none"), HasSubstr("HTTP/1.1 200 OK\r\n"));
  // Two at once, the first of them cut in the middle.
  const std::string both =
      test::http_request("POST", "/echo", "", "two") + test::http_request("GET", "/");
  client.forget();
  client.send(both.substr(0, 10));
  std::this_thread::sleep_for(milliseconds(20));
  client.send(both.substr(10));
  EXPECT_THAT(client.read_until("hello"), HasSubstr("\r\n\r\ntwoHTTP/1.1 200 OK\r\n"));
  EXPECT_FALSE(client.closed());
}

TEST_F(HttpServerTest, TakesChunksAndAsksForLargeBodies) {
  start();
  test::HttpClient client(port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: "
      "100-continue\r\n\r\n");
  EXPECT_NE(client.read_until("HTTP/1.1 100 Continue\r\n\r\n"), "");
  client.send("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_NE(client.read_until("\r\n\r\nabcde"), "");
}

TEST_F(HttpServerTest, AnswersOfPages) {
  start();
  const test::HttpResult page = test::ask(port(), "GET", "/");
  EXPECT_THAT(page.head, HasSubstr("X-Content-Type-Options: nosniff\r\n"));
  EXPECT_THAT(page.head, HasSubstr("Content-Security-Policy: default-src 'none'"));
  EXPECT_THAT(page.head, testing::Not(HasSubstr("Access-Control")));
  const test::HttpResult head = test::ask(port(), "HEAD", "/");
  EXPECT_EQ(head.status, 200);
  EXPECT_THAT(head.head, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_EQ(head.body, "");
}

TEST_F(HttpServerTest, RefusesWhatIsTooLongOrNoRequest) {
  HttpLimits limits;
  limits.body_bytes = 1000;
  start(limits);
  EXPECT_THAT(told("\x16\x03\x01 this is no HTTP\r\n\r\n"), HasSubstr("HTTP/1.1 400 "));
  EXPECT_THAT(told("GET / HTTP/1.1\r\n\r\n"), HasSubstr("expected one Host header"));
  // Two lengths for one body: a proxy in front might read the other one.
  EXPECT_THAT(told("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                   "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
              HasSubstr("HTTP/1.1 400 "));
  EXPECT_THAT(told(test::http_request("GET", "/../../etc/passwd")), HasSubstr("HTTP/1.1 404 "));
  // A header line without end, many headers, many bytes without a line end.
  EXPECT_THAT(told("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'a')), HasSubstr("HTTP/1.1 431 "));
  std::string flood = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 5000; ++i) flood += cat("X-", i, ": 1\r\n");
  EXPECT_THAT(told(flood), HasSubstr("HTTP/1.1 431 "));
  EXPECT_THAT(told(std::string(40'000, 'G')), HasSubstr("HTTP/1.1 4"));
  // A gigabyte that is announced, and one that just comes.
  EXPECT_THAT(told("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n"),
              HasSubstr("HTTP/1.1 413 "));
  EXPECT_THAT(told("POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
                   std::string(1001, 'x')),
              HasSubstr("HTTP/1.1 413 "));
  EXPECT_THAT(
      told("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n"),
      HasSubstr("HTTP/1.1 400 "));
}

TEST_F(HttpServerTest, BodiesOfAllTogetherAreBounded) {
  HttpLimits limits;
  limits.body_bytes = 1000;
  limits.all_bodies_bytes = 1500;
  start(limits);
  test::HttpClient first(port());
  first.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_NE(first.read_until("100 Continue"), "");
  EXPECT_THAT(told("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"),
              HasSubstr("HTTP/1.1 503 "));
  first.leave();
  int status = 0;
  for (int i = 0; i < 1000 && status != 200; ++i) {  // until the server has seen it
    status = test::ask(port(), "POST", "/echo", "", std::string(1000, 'x')).status;
  }
  EXPECT_EQ(status, 200);
}

TEST_F(HttpServerTest, CutsThoseWhoAreSlow) {
  HttpLimits limits;
  limits.header_time = limits.body_time = limits.idle_time = milliseconds(200);
  start(limits);
  EXPECT_EQ(told(""), "");  // never says anything
  EXPECT_THAT(told("GET / HTTP/1.1\r\nHost: "), HasSubstr("HTTP/1.1 408 "));
  EXPECT_THAT(told("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"),
              HasSubstr("HTTP/1.1 408 "));
  // A byte now and then does not help: the time is that of the whole header.
  test::HttpClient loris(port());
  loris.send("GET / HTTP/1.1\r\n");
  for (int i = 0; i < 300; ++i) {
    if (loris.send("X") == 0) break;
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_THAT(loris.read_all(), testing::AnyOf("", HasSubstr("HTTP/1.1 408 ")));
  EXPECT_TRUE(loris.closed());
}

TEST_F(HttpServerTest, CutsThoseWhoTakeNothing) {
  HttpLimits limits;
  limits.write_time = milliseconds(200);
  start(limits);
  test::HttpClient client(port());
  client.send(test::http_request("GET", "/wait"));
  const auto reply = kept();
  ASSERT_TRUE(reply);
  reply->begin(200, "text/plain");
  for (int i = 0; i < 32; ++i) reply->write(std::string(1'000'000, 'x'));
  EXPECT_TRUE(becomes_gone(*reply));
}

TEST_F(HttpServerTest, SeesThatAClientHasLeft) {
  start();
  for (const bool half : {false, true}) {
    test::HttpClient client(port());
    client.send(test::http_request("GET", "/wait"));
    const auto reply = kept();
    ASSERT_TRUE(reply);
    EXPECT_FALSE(reply->gone());
    half ? client.say_no_more() : client.leave();
    EXPECT_TRUE(becomes_gone(*reply));
    reply->write("nobody reads this");
    kept_.reset();
  }
}

TEST_F(HttpServerTest, StreamsInChunks) {
  start();
  test::HttpClient client(port());
  const auto reply = begun_stream(client);
  ASSERT_TRUE(reply);
  EXPECT_NE(client.read_until("\r\n\r\n3\r\none\r\n"), "");
  reply->write("and two");
  reply->end();
  EXPECT_NE(client.read_until("7\r\nand two\r\n0\r\n\r\n"), "");
  client.forget();
  client.send(test::http_request("GET", "/"));
  EXPECT_NE(client.read_until("hello"), "");
}

TEST_F(HttpServerTest, AnErrorInTheMiddleCutsTheAnswer) {
  start();
  test::HttpClient client(port());
  const auto reply = begun_stream(client);
  ASSERT_TRUE(reply);
  ASSERT_NE(client.read_until("one\r\n"), "");
  reply->send({500});
  EXPECT_THAT(client.read_all(), testing::EndsWith("3\r\none\r\n"));
  EXPECT_TRUE(client.closed());
}

TEST_F(HttpServerTest, AReplyThatIsLostBecomesAnError) {
  start();
  test::HttpClient client(port());
  client.send(test::http_request("GET", "/wait"));
  ASSERT_TRUE(kept());
  kept_.reset();
  EXPECT_NE(client.read_until("HTTP/1.1 500 "), "");
}

TEST_F(HttpServerTest, ConnectionsAreCounted) {
  HttpLimits limits;
  limits.connections = 2;
  start(limits);
  {
    test::HttpClient first(port());
    test::HttpClient second(port());
    first.send(test::http_request("GET", "/"));
    second.send(test::http_request("GET", "/"));
    ASSERT_NE(first.read_until("hello"), "");
    ASSERT_NE(second.read_until("hello"), "");
    EXPECT_EQ(server_->connections(), 2U);
    test::HttpClient third(port());
    EXPECT_EQ(third.read_all(), "");
    EXPECT_TRUE(third.closed());
  }
  for (int i = 0; i < 1000 && server_->connections() > 0; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(server_->connections(), 0U);
}

TEST_F(HttpServerTest, ClosesIdleConnections) {
  start();
  test::HttpClient idle(port());
  idle.send(test::http_request("GET", "/"));
  ASSERT_NE(idle.read_until("hello"), "");
  server_->close_idle();
  idle.read_all();
  EXPECT_TRUE(idle.closed());
}

TEST_F(HttpServerTest, SaysWhereItCannotListen) {
  start();
  const auto taken = HttpServer::start("127.0.0.1", port(), {});
  ASSERT_FALSE(taken.ok());
  EXPECT_THAT(taken.status().message, HasSubstr("cannot listen on 127.0.0.1"));
  const auto unknown = HttpServer::start("example.org", 0, {});
  ASSERT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.status().code, Code::kUsage);
  EXPECT_TRUE(is_loopback("localhost") && is_loopback("127.0.0.9") && is_loopback("::1"));
  EXPECT_FALSE(is_loopback("0.0.0.0") || is_loopback("::") || is_loopback("example.org"));
}

TEST_F(HttpServerTest, OneClientLeavesRoomForOthers) {
  HttpLimits limits;
  limits.client_connections = 3;
  start(limits);
  std::vector<std::unique_ptr<test::HttpClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<test::HttpClient>(port()));
    clients.back()->send(test::http_request("GET", "/"));
    EXPECT_NE(clients.back()->read_until("hello"), "");
  }
  test::HttpClient fourth(port());
  fourth.send(test::http_request("GET", "/"));
  EXPECT_EQ(fourth.read_all(), "");
  EXPECT_TRUE(fourth.closed());
  EXPECT_EQ(server_->connections(), 3U);
  clients.clear();
  for (int i = 0; i < 1000 && server_->connections() > 0; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(server_->connections(), 0U);
}

}  // namespace
}  // namespace fastvlm

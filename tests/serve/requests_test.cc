// SPDX-License-Identifier: Apache-2.0
// Bodies of requests, good and bad, and what stands between them and the model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/base64.h"
#include "base/strings.h"
#include "serve/access.h"
#include "serve/caption_request.h"
#include "serve/chat_request.h"
#include "serve/picture_fetch.h"
#include "serve/request_body.h"
#include "serve/request_queue.h"
#include "serve/stop_texts.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kUri = "data:image/png;base64,QUJD";  // "ABC"

Json chat(Json content = Json::array({{{"type", "text"}, {"text", "What is it?"}},
                                      {{"type", "image_url"}, {"image_url", {{"url", kUri}}}}})) {
  return {{"model", "any"},
          {"messages", Json::array({{{"role", "user"}, {"content", std::move(content)}}})}};
}

// The field that the error is about, and what it says.
std::string refused(const Json& body, std::string_view said) {
  std::string param;
  const auto request = parse_chat_request(body.dump(), {}, param);
  EXPECT_FALSE(request.ok()) << body;
  if (!request.ok()) {
    EXPECT_THAT(request.status().message, HasSubstr(std::string(said)));
  }
  return param;
}

ChatRequest accepted(const Json& body) {
  std::string param;
  auto request = parse_chat_request(body.dump(), {}, param);
  EXPECT_TRUE(request.ok()) << request.status().message;
  EXPECT_EQ(param, "");
  return request.ok() ? std::move(*request) : ChatRequest();
}

TEST(Base64, ComesBack) {
  for (const std::string text : {"", "a", "ab", "abc", "abcd", "\xff\x00\x80"}) {
    EXPECT_EQ(from_base64(base64(std::as_bytes(std::span(text)))), text);
  }
  EXPECT_EQ(from_base64("QU\nJD\r\n"), "ABC");
  for (const char* bad :
       {"QUJ", "QUJDQ", "QQ=", "Q===", "QQ==QQ==", "QU-D", "=", "====", "QUJD="}) {
    EXPECT_EQ(from_base64(bad), std::nullopt) << bad;
  }
}

TEST(ChatRequestTest, IsReadWithItsDefaults) {
  const ChatRequest request = accepted(chat());
  EXPECT_EQ(request.picture.bytes, "ABC");
  EXPECT_EQ(request.caption.prompt, "What is it?");
  EXPECT_EQ(request.caption.sampling.temperature, 0);
  EXPECT_EQ(request.caption.max_tokens, 256);
  EXPECT_FALSE(request.stream || request.include_usage || request.caption.json_schema);
}

TEST(ChatRequestTest, TakesWhatOpenAIKnows) {
  Json body = chat();
  const Json system = {{"role", "system"}, {"content", "Be short."}};
  body["messages"].insert(body["messages"].begin(), system);
  body.update({{"temperature", 0.5},
               {"top_p", 0.9},
               {"seed", -1},
               {"max_tokens", 10},
               {"max_completion_tokens", 20},
               {"stop", {"a", "b"}},
               {"stream", true},
               {"stream_options", {{"include_usage", true}}},
               {"frequency_penalty", 0},
               {"user", "somebody"},
               {"n", 1}});
  const ChatRequest request = accepted(body);
  EXPECT_EQ(request.caption.prompt, "Be short.\n\nWhat is it?");
  EXPECT_EQ(request.caption.sampling.temperature, 0.5);
  EXPECT_EQ(request.caption.sampling.top_p, 0.9);
  EXPECT_EQ(request.caption.sampling.seed, UINT64_MAX);
  EXPECT_EQ(request.caption.max_tokens, 20);
  EXPECT_THAT(request.stop, ElementsAre("a", "b"));
  EXPECT_TRUE(request.stream && request.include_usage);
  body["stop"] = "one";
  EXPECT_THAT(accepted(body).stop, ElementsAre("one"));
}

TEST(ChatRequestTest, WithoutAQuestionAsksTheSevenPoints) {
  const Json picture = {{"type", "image_url"}, {"image_url", {{"url", kUri}}}};
  EXPECT_EQ(accepted(chat(Json::array({picture}))).caption.prompt, seven_point_prompt());
  const Json asked = {{"type", "text"}, {"text", cat("\n", seven_point_prompt(), " ")}};
  EXPECT_EQ(accepted(chat(Json::array({asked, picture}))).caption.prompt, seven_point_prompt());
}

TEST(ChatRequestTest, MakesSchemas) {
  Json body = chat();
  body["response_format"] = {{"type", "json_object"}};
  EXPECT_THAT(accepted(body).caption.json_schema->shape.names, ElementsAre("answer"));
  body["response_format"] = Json::parse(
      R"({"type": "json_schema", "json_schema": {"name": "people", "strict": true, "schema":
          {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}}}})");
  const ChatRequest request = accepted(body);
  EXPECT_EQ(request.caption.json_schema->name, "people");
  EXPECT_THAT(request.caption.json_schema->shape.names, ElementsAre("z", "a"));
  body["response_format"]["json_schema"]["schema"]["oneOf"] = Json::array();
  EXPECT_EQ(refused(body, "oneOf"), "response_format.json_schema.schema");
  body["response_format"] = {{"type", "xml"}};
  EXPECT_EQ(refused(body, "json_schema, found \"xml\""), "response_format.type");
  Json seven = chat(Json::array({{{"type", "image_url"}, {"image_url", {{"url", kUri}}}}}));
  seven["response_format"] = {{"type", "json_object"}};
  EXPECT_EQ(accepted(seven).caption.json_schema->shape.names.size(), 7U);
}

TEST(ChatRequestTest, RefusesByTheFieldsName) {
  const auto with = [](const char* key, Json value) {
    Json body = chat();
    body[key] = std::move(value);
    return body;
  };
  EXPECT_EQ(refused(with("n", 2), "expected 1, found 2"), "n");
  EXPECT_EQ(refused(with("temperature", "hot"), "from 0 to 2"), "temperature");
  EXPECT_EQ(refused(with("top_p", 1.5), "from 0 to 1"), "top_p");
  EXPECT_EQ(refused(with("max_tokens", 0), "from 1 to 2048"), "max_tokens");
  EXPECT_EQ(refused(with("max_tokens", 1e3), "a whole number"), "max_tokens");
  EXPECT_EQ(refused(with("seed", 1.5), "a whole number"), "seed");
  EXPECT_EQ(refused(with("stream", "yes"), "true or false"), "stream");
  EXPECT_EQ(refused(with("stop", {"a", "b", "c", "d", "e"}), "up to 4 texts"), "stop");
  EXPECT_EQ(refused(with("stop", {""}), "up to 4 texts"), "stop");
  EXPECT_EQ(refused(with("tools", {{{"type", "function"}}}), "no tools"), "tools");
  EXPECT_EQ(refused(with("messages", "hello"), "a list"), "messages");
  EXPECT_EQ(refused(with("messages", Json::array()), "found none"), "messages");
  EXPECT_EQ(refused(chat("no picture"), "found none"), "messages");
  EXPECT_EQ(refused(with("messages", {1}), "an object"), "messages[0]");
  Json body = chat();
  body["messages"].push_back({{"role", "assistant"}, {"content", "A cat."}});
  EXPECT_EQ(refused(body, "found \"assistant\""), "messages[1].role");
}

TEST(ChatRequestTest, RefusesPicturesByWhereTheyStand) {
  const auto with = [](const Json& url) {
    return chat(Json::array({{{"type", "image_url"}, {"image_url", {{"url", url}}}}}));
  };
  const std::string where = "messages[0].content[0].image_url.url";
  EXPECT_EQ(accepted(with("https://example.org/a.png")).picture.address,
            "https://example.org/a.png");
  EXPECT_EQ(refused(with("http://example.org/a.png"), "expected a data: URI"), where);
  EXPECT_EQ(refused(with("file:///etc/passwd"), "names a file of the server"), where);
  EXPECT_EQ(refused(with("/etc/passwd"), "expected a data: URI"), where);
  EXPECT_EQ(refused(with("data:image/png;base64,QUJ!"), "damaged"), where);
  EXPECT_EQ(refused(with("data:image/png;base64,"), "empty"), where);
  EXPECT_EQ(refused(with("data:image/png,ABC"), "base64"), where);
  EXPECT_EQ(refused(with(5), "a text"), where);
  const Json picture = {{"type", "image_url"}, {"image_url", {{"url", kUri}}}};
  EXPECT_EQ(refused(chat(Json::array({picture, picture})), "second picture"),
            "messages[0].content[1].image_url");
}

TEST(RequestJson, IsBounded) {
  std::string param;
  const auto code = [&](const std::string& body) {
    return parse_chat_request(body, {}, param).status().code;
  };
  EXPECT_EQ(code(""), Code::kInvalid);
  EXPECT_EQ(code("{\"messages\": ["), Code::kInvalid);
  EXPECT_EQ(code("[]"), Code::kInvalid);
  EXPECT_EQ(code("{\"a\": \"\xff\"}"), Code::kInvalid);
  EXPECT_EQ(code(std::string(1'000'000, '[')), Code::kLimit);
  std::string many = "{\"a\": [0";
  for (int i = 0; i < 100'000; ++i) many += ",0";
  EXPECT_EQ(code(many + "]}"), Code::kLimit);
}

const std::string kForm = "multipart/form-data; boundary=XX";

std::string part(const std::string& disposition, const std::string& value) {
  return cat("--XX\r\nContent-Disposition: form-data; ", disposition, "\r\n\r\n", value, "\r\n");
}

TEST(Form, GivesItsParts) {
  const std::string body =
      part("name=\"image\"; filename=\"../../a \\\"b\\\".png\"", "\x89PNG\r\n--X\r\n") +
      part("name=empty", "") + "--XX--\r\n";
  const auto parts = parse_form(body, kForm);
  ASSERT_TRUE(parts.ok()) << parts.status().message;
  ASSERT_EQ(parts->size(), 2U);
  EXPECT_EQ((*parts)[0].name, "image");
  EXPECT_EQ((*parts)[0].filename, "a \"b\".png");
  EXPECT_EQ((*parts)[0].value, "\x89PNG\r\n--X\r\n");
  EXPECT_EQ((*parts)[1].name, "empty");
  EXPECT_EQ((*parts)[1].value, "");
}

TEST(Form, RefusesWhatIsDamaged) {
  const std::string good = part("name=a", "1") + "--XX--";
  EXPECT_TRUE(parse_form(good, kForm).ok());
  EXPECT_FALSE(parse_form(good, "multipart/form-data").ok());
  EXPECT_FALSE(parse_form(good, "multipart/form-data; boundary=\"XX").ok());
  EXPECT_FALSE(parse_form(good, "multipart/form-data; boundary=YY").ok());
  EXPECT_FALSE(parse_form("", kForm).ok());
  EXPECT_FALSE(parse_form(part("name=a", "1"), kForm).ok());
  EXPECT_FALSE(parse_form(part("filename=a", "1") + "--XX--", kForm).ok());
  EXPECT_FALSE(parse_form("--XX\r\n\r\n1\r\n--XX--", kForm).ok());
  std::string many;
  for (int i = 0; i < 33; ++i) many += part("name=a", "1");
  EXPECT_FALSE(parse_form(many + "--XX--", kForm).ok());
}

TEST(CaptionRequestTest, IsTheSameAsJsonAndAsAForm) {
  std::string param;
  const std::string json =
      R"({"image": "QUJD", "name": "a.png", "prompt": "describe", "tags": "dog (left), cat",
          "max_tokens": 7, "temperature": 0.5, "verify_objects": true})";
  const std::string form = part("name=image; filename=a.png", "ABC") +
                           part("name=prompt", "describe") + part("name=tags", "dog (left), cat") +
                           part("name=max_tokens", "7") + part("name=temperature", "0.5") +
                           part("name=verify_objects", "true") + "--XX--";
  for (const bool as_form : {false, true}) {
    const auto task = as_form ? parse_caption_request(form, kForm, {}, param)
                              : parse_caption_request(json, "application/json", {}, param);
    ASSERT_TRUE(task.ok()) << task.status().message;
    EXPECT_EQ(task->picture.bytes, "ABC");
    EXPECT_EQ(task->name, "a.png");
    EXPECT_EQ(task->caption.prompt, describe_prompt());
    EXPECT_EQ(task->caption.tags.size(), 2U);
    EXPECT_TRUE(task->tagged && task->verify_objects && !task->detect);
    EXPECT_EQ(task->caption.max_tokens, 7);
    EXPECT_EQ(task->caption.sampling.temperature, 0.5);
  }
}

TEST(CaptionRequestTest, RefusesByTheFieldsName) {
  const auto about = [](const std::string& body) {
    std::string param;
    EXPECT_FALSE(parse_caption_request(body, "application/json", {}, param).ok()) << body;
    return param;
  };
  EXPECT_EQ(about(R"({"image": "QUJD", "promt": "x"})"), "promt");
  EXPECT_EQ(about(R"({"prompt": "x"})"), "image");
  EXPECT_EQ(about(R"({"image": "QUJ"})"), "image");
  EXPECT_EQ(about(R"({"image": "QUJD", "tags": [1]})"), "tags");
  EXPECT_EQ(about(R"({"image": "QUJD", "schema": {}})"), "schema");
  EXPECT_EQ(about(R"({"image": "QUJD", "schema": {}, "free": true})"), "schema");
  EXPECT_EQ(about(R"({"image": "QUJD", "json_schema": {"type": "null"}})"), "json_schema");
  std::string param;
  const std::string form = part("name=image", "ABC") + part("name=max_tokens", "many") + "--XX--";
  EXPECT_FALSE(parse_caption_request(form, kForm, {}, param).ok());
  EXPECT_EQ(param, "max_tokens");
}

TEST(StopTextsTest, CutsBeforeTheFirstOfThem) {
  StopTexts stops({"END", "e."});
  EXPECT_EQ(stops.push("a cat E"), "a cat ");
  EXPECT_EQ(stops.push("N, "), "EN, ");
  EXPECT_EQ(stops.push("then e"), "then ");
  EXPECT_FALSE(stops.found());
  EXPECT_EQ(stops.push(". END"), "");
  EXPECT_TRUE(stops.found());
  EXPECT_EQ(stops.push("more"), "");
  EXPECT_EQ(stops.finish(), "");
  StopTexts none({"END"});
  EXPECT_EQ(none.push("the EN"), "the ");
  EXPECT_EQ(none.finish(), "EN");
}

struct Item {
  int number = 0;
  bool left = false;
  bool unwanted() const { return left; }
};

TEST(RequestQueueTest, ClientsTakeTurns) {
  RequestQueue<Item> queue(5);
  const auto push = [&](const char* client, int number, bool left = false) {
    auto item = std::make_unique<Item>(Item{number, left});
    return queue.push(client, item);
  };
  for (const int number : {1, 2, 3}) EXPECT_TRUE(push("a", number, number == 3));
  EXPECT_TRUE(push("b", 4));
  EXPECT_TRUE(push("c", 5));
  EXPECT_TRUE(push("b", 6));  // in the place of 3, whom nobody waits for
  EXPECT_FALSE(push("d", 7));
  std::atomic<int> taken = 0;
  std::vector<int> order;
  for (int i = 0; i < 4; ++i) order.push_back(queue.pop(taken)->number);
  EXPECT_THAT(order, ElementsAre(1, 4, 5, 2));
  EXPECT_EQ(queue.close().size(), 1U);
  EXPECT_EQ(queue.pop(taken), nullptr);
  EXPECT_EQ(taken, 4);
  EXPECT_FALSE(push("a", 8));
}

TEST(Access, KeysAreReadAndCompared) {
  const auto keys = parse_keys("# mine\n\n0123456789abcdef\r\nanother-long-key-1\n", "keys");
  ASSERT_TRUE(keys.ok()) << keys.status().message;
  const Keys known(*keys);
  EXPECT_TRUE(known.accepts("Bearer 0123456789abcdef"));
  EXPECT_TRUE(known.accepts("bearer another-long-key-1"));
  for (const char* wrong : {"", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdefg",
                            "Basic 0123456789abcdef", "0123456789abcdef"}) {
    EXPECT_FALSE(known.accepts(wrong)) << wrong;
  }
  const auto shorter = parse_keys("secret-key", "keys");
  ASSERT_FALSE(shorter.ok());
  EXPECT_THAT(shorter.status().message, testing::Not(HasSubstr("secret-key")));
  EXPECT_FALSE(parse_keys("# none\n", "keys").ok());
}

TEST(Access, HostsAndOrigins) {
  for (const char* good : {"localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:1"}) {
    EXPECT_TRUE(names_loopback(good)) << good;
  }
  for (const char* bad :
       {"", "example.org", "localhost.example.org", "127.0.0.1.nip.io", "10.0.0.1"}) {
    EXPECT_FALSE(names_loopback(bad)) << bad;
  }
  EXPECT_TRUE(same_origin("", "localhost:80"));
  EXPECT_TRUE(same_origin("http://localhost:80", "localhost:80"));
  EXPECT_FALSE(same_origin("http://localhost:81", "localhost:80"));
  EXPECT_FALSE(same_origin("https://example.org", "localhost:80"));
  EXPECT_FALSE(same_origin("null", "localhost:80"));
}

TEST(PictureFetch, CallsPublicAddressesAlone) {
  for (const char* good : {"8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "198.20.0.1",
                           "2606:4700::1111", "2a00:1450:4001::1"}) {
    EXPECT_TRUE(is_public_address(good)) << good;
  }
  for (const char* bad : {"127.0.0.1",
                          "10.1.2.3",
                          "192.168.1.1",
                          "172.16.0.1",
                          "172.31.255.255",
                          "169.254.169.254",
                          "100.64.0.1",
                          "0.0.0.0",
                          "224.0.0.1",
                          "255.255.255.255",
                          "192.0.2.1",
                          "198.19.0.1",
                          "::1",
                          "::",
                          "fe80::1",
                          "fc00::1",
                          "ff02::1",
                          "::ffff:10.0.0.1",
                          "64:ff9b::a00:1",
                          "2002:a00:1::",
                          "2001::1",
                          "2001:db8::1",
                          "",
                          "localhost",
                          "1.2.3"}) {
    EXPECT_FALSE(is_public_address(bad)) << bad;
  }
}

TEST(PictureFetch, RefusesHostsThatAreNotListed) {
  const PictureFetch fetch({"example.org", "localhost"}, 1000);
  for (const char* address :
       {"https://example.com/a.jpg", "https://example.org.evil.test/a.jpg", "http://example.org/",
        "https://evil.test/#@example.org", "https:example.org", "https://", "ftp://example.org/"}) {
    EXPECT_EQ(fetch(address).status().code, Code::kUnsupported) << address;
  }
  // A listed name that stands for this machine, and one with a password for it.
  const Status own = fetch("https://localhost:1/a.jpg").status();
  EXPECT_EQ(own.code, Code::kInvalid);
  EXPECT_THAT(own.message, HasSubstr("its host is in no public network"));
  EXPECT_EQ(fetch("https://me:secret@example.org/a.jpg").status().code, Code::kInvalid);
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Answers that are made to fit a JSON schema: with a made-up model, and with random weights.
#include "caption/json_guide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "caption/engine.h"
#include "language/sampler.h"
#include "support/guided_model.h"
#include "support/tiny_model.h"
#include "text/unicode.h"

namespace fastvlm {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;

constexpr const char* kScene = R"({
  "title": "A scene", "type": "object", "additionalProperties": false,
  "required": ["main", "indoors"],
  "properties": {
    "main": {"type": "string", "maxLength": 30, "description": "what is seen"},
    "time": {"enum": ["day", "day and night", "ni\"ght"]},
    "objects": {"type": "array", "maxItems": 3, "items": {"type": "string", "maxLength": 12}},
    "count": {"type": "integer"},
    "sure": {"type": "number"},
    "indoors": {"type": "boolean"},
    "none": {"type": "array", "maxItems": 0, "items": {"type": "boolean"}},
    "empty": {"type": "object"},
    "boxes": {"type": "array", "minItems": 2, "maxItems": 4, "items": {
      "type": "object", "properties": {"x": {"type": "number"}, "é": {"type": "boolean"}}}}}})";

size_t characters(const std::string& text) {
  size_t count = 0;
  for (std::string_view rest = text; !rest.empty(); ++count) {
    rest.remove_prefix(utf8_front(rest).length);
  }
  return count;
}

// What of `value` does not fit `schema`; the test's own reading of the subset.
void check_fit(const Json& schema, const Json& value, const std::string& path) {
  const std::string type = schema.value("type", "string");
  if (type == "object") {
    ASSERT_TRUE(value.is_object()) << path;
    std::vector<std::string> wanted, found;
    const Json properties = schema.value("properties", Json::object());
    for (const auto& [name, unused] : properties.items()) wanted.push_back(name);
    for (const auto& [name, member] : value.items()) {
      found.push_back(name);
      if (properties.contains(name)) check_fit(properties[name], member, path + "." + name);
    }
    EXPECT_EQ(found, wanted) << path;
  } else if (type == "array") {
    ASSERT_TRUE(value.is_array()) << path;
    EXPECT_GE(value.size(), schema.value("minItems", size_t{0})) << path;
    EXPECT_LE(value.size(), schema.value("maxItems", SIZE_MAX)) << path;
    for (const Json& item : value) check_fit(schema["items"], item, path + "[]");
  } else if (type == "string") {
    ASSERT_TRUE(value.is_string()) << path;
    EXPECT_LE(characters(value.get<std::string>()), schema.value("maxLength", SIZE_MAX)) << path;
    if (!schema.contains("enum")) return;
    EXPECT_NE(std::find(schema["enum"].begin(), schema["enum"].end(), value), schema["enum"].end())
        << path << value;
  } else {
    EXPECT_TRUE(type == "boolean"   ? value.is_boolean()
                : type == "integer" ? value.is_number_integer()
                                    : value.is_number())
        << path << value;
  }
}

using Model = test::WishfulModel;

class JsonGuideTest : public test::GuideFixture {
 protected:
  static JsonSchema schema(const std::string& text) {
    auto parsed = parse_json_schema(text, "my.json");
    EXPECT_TRUE(parsed.ok()) << parsed.status().message;
    return parsed.ok() ? std::move(*parsed) : JsonSchema{};
  }

  std::string make(const JsonSchema& schema, const Model& model, int64_t max_tokens,
                   uint64_t seed = 0) {
    auto guide = JsonGuide::make(schema, *tokenizer_, {end_}, max_tokens);
    EXPECT_TRUE(guide.ok()) << guide.status().message;
    if (!guide.ok()) return "";
    return tokenizer_->decode(answer(*guide, model, max_tokens, seed).ids, true);
  }
};

// A model that would have written the same JSON.
TEST_F(JsonGuideTest, AFittingAnswerStaysAsItIs) {
  const std::string wanted =
      R"({"main": "A cat, on a road.", "time": "day", "objects": ["car", "tree"], "count": -12, )"
      R"("sure": 0.75, "indoors": false, "none": [], "empty": {}, "boxes": [{"x": 1, "é": true}, )"
      R"({"x": 20.5, "é": false}]})";
  const Model follow = [&](std::span<const TokenId> ids) {
    const std::string text = tokenizer_->decode(ids, true);
    EXPECT_TRUE(wanted.starts_with(text)) << text;
    const std::string_view rest =
        std::string_view(wanted).substr(std::min(text.size(), wanted.size()));
    return rest.empty() ? end_ : ids_of(rest).front();
  };
  EXPECT_EQ(make(schema(kScene), follow, 400), wanted);
}

TEST_F(JsonGuideTest, NoModelMakesItInvalid) {
  const JsonSchema scene = schema(kScene);
  const Json rules = Json::parse(kScene);
  const std::vector<std::string> pieces = {
      "\"",         "\",",  "\"}", "\\",       "\n",   "]",  ",",
      " a",         "dog",  "1",   "0",        "-",    ".",  "5",
      "<|im_end|>", " ",    "é",   "\xF0\x9F", "\xC3", "狗", "A cat sits here.",
      "x\", \"y",   "true", "{",   "[",        "\x01"};
  for (const bool words : {true, false}) {
    if (!words) use(Tokenizer::from_json(test::small_tokenizer().dump(), "small"));
    int64_t least = 1;
    while (!JsonGuide::make(scene, *tokenizer_, {end_}, least).ok()) ++least;
    for (uint64_t seed = 0; seed < 400; ++seed) {
      Generator random(seed);
      std::deque<TokenId> wished;
      const std::string text = make(
          scene,
          [&](std::span<const TokenId>) {
            while (wished.empty()) {
              const auto ids = ids_of(pieces[random.next() % pieces.size()]);
              wished.assign(ids.begin(), ids.end());
            }
            const TokenId id = wished.front();
            wished.pop_front();
            return id;
          },
          least + static_cast<int64_t>(seed), seed);
      const Json value = Json::parse(text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << seed << ": " << text;
      check_fit(rules, value, "$");
      if (HasFailure()) FAIL() << "seed " << seed << ": " << text;
    }
  }
}

TEST_F(JsonGuideTest, OtherTopLevels) {
  for (const char* rules :
       {R"({"type": "string", "maxLength": 0})", R"({"type": "string"})", R"({"type": "integer"})",
        R"({"type": "number"})", R"({"type": "boolean"})", R"({"enum": ["a", "ab"]})",
        R"({"type": "array", "items": {"type": "number"}})", R"({"type": "object"})"}) {
    const JsonSchema one = schema(rules);
    for (uint64_t seed = 0; seed < 50; ++seed) {
      Generator random(seed);
      const std::string text = make(
          one,
          [&](std::span<const TokenId>) {
            return static_cast<TokenId>(random.next() % tokenizer_->vocab_size());
          },
          40, seed);
      const Json value = Json::parse(text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << rules << ": " << text;
      check_fit(Json::parse(rules), value, "$");
    }
  }
}

TEST_F(JsonGuideTest, ALoopEnds) {
  const std::vector<TokenId> round = ids_of("A dog. ");
  size_t next = 0;
  const std::string text = make(
      schema(R"({"type": "object", "properties": {"a": {"type": "string"}}})"),
      [&](std::span<const TokenId>) { return round[next++ % round.size()]; }, 300);
  EXPECT_EQ(text, R"({"a": "A dog."})");
}

TEST(JsonSchemaFile, WhatIsUnsupportedIsNamed) {
  const auto message = [](const std::string& text) {
    const auto parsed = parse_json_schema(text, "my.json");
    EXPECT_FALSE(parsed.ok()) << text;
    EXPECT_FALSE(parsed.status().hint.empty());
    return parsed.status().message;
  };
  EXPECT_THAT(message("{"), HasSubstr("my.json: expected JSON"));
  EXPECT_EQ(message("3"), "my.json: $: expected an object, found 3");
  EXPECT_EQ(message("{}"), "my.json: $: a schema without \"type\" is not supported");
  EXPECT_EQ(message(R"({"type": "null"})"), "my.json: $: \"type\": \"null\" is not supported");
  EXPECT_EQ(message(R"({"type": ["string", "null"]})"),
            "my.json: $.type: a list of types is not supported");
  EXPECT_EQ(
      message(R"({"type": "object", "properties": {"a": {"type": "string", "pattern": "x"}}})"),
      "my.json: $.properties.a: \"pattern\" here is not supported");
  EXPECT_EQ(message(R"({"type": "array"})"),
            "my.json: $: an array without \"items\" is not supported");
  EXPECT_EQ(message(R"({"type": "array", "items": {"type": "integer", "minimum": 1}})"),
            "my.json: $.items: \"minimum\" here is not supported");
  EXPECT_EQ(message(R"({"type": "object", "required": ["b"]})"),
            "my.json: $.required: expected names of properties, found \"b\"");
  EXPECT_EQ(message(R"({"type": "string", "maxLength": -1})"),
            "my.json: $.maxLength: expected a whole number from 0 to 1000000, found -1");
  EXPECT_EQ(
      message(R"({"type": "array", "items": {"type": "boolean"}, "minItems": 3, "maxItems": 2})"),
      "my.json: $.minItems: expected at most maxItems (2), found 3");
  EXPECT_EQ(message(R"({"enum": [1, 2]})"), "my.json: $.enum: expected strings, found 1");
  EXPECT_EQ(message(R"({"type": "object", "$ref": "#"})"),
            "my.json: $: \"$ref\" here is not supported");
  std::string deep = R"({"type": "boolean"})";
  for (int i = 0; i < 20; ++i) deep = R"({"type": "array", "items": )" + deep + "}";
  EXPECT_THAT(message(deep), HasSubstr("nesting deeper than 16"));
}

class JsonOfRandomWeights : public testing::TestWithParam<const char*> {};

TEST_P(JsonOfRandomWeights, ParsesAndFits) {
  const test::TemporaryFolder folder;
  test::make_tiny_model(folder / "tiny", GetParam());
  ThreadPool pool(2);
  const auto engine = Engine::load({folder / "tiny", {}, {}, {}}, pool);
  ASSERT_TRUE(engine.ok()) << engine.status().message;
  Session session(*engine, pool);
  const Image image = blank_image(64, 64);
  CaptionRequest request;
  request.json_schema =
      std::make_shared<const JsonSchema>(*parse_json_schema(kScene, "scene.json"));
  request.prompt = "hello";
  for (uint64_t seed = 0; seed < 50; ++seed) {
    request.max_tokens = 330 + static_cast<int64_t>(seed);
    request.sampling = {.temperature = 0.9 * static_cast<double>(seed % 5), .seed = seed};
    const auto caption = session.caption(image, request);
    ASSERT_TRUE(caption.ok()) << caption.status().message;
    EXPECT_LE(caption->timings.answer_tokens, request.max_tokens);
    EXPECT_EQ(caption->provenance.schema, "scene");
    EXPECT_TRUE(caption->sections.empty());
    const Json value = Json::parse(caption->text, nullptr, false);
    ASSERT_FALSE(value.is_discarded()) << caption->text;
    check_fit(Json::parse(kScene), value, "$");
  }
  request.max_tokens = 100;
  EXPECT_EQ(session.caption(image, request).status().code, Code::kUsage);
}

INSTANTIATE_TEST_SUITE_P(Models, JsonOfRandomWeights, testing::Values("hd_tied", "s0_untied"));

}  // namespace
}  // namespace fastvlm

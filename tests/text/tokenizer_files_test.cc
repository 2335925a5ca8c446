// SPDX-License-Identifier: Apache-2.0
// Tokenizer files that are broken, hostile, or of another kind than ours.
#include "text/tokenizer_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "support/files.h"
#include "support/small_tokenizer.h"
#include "text/splitter.h"
#include "text/tokenizer.h"

namespace fastvlm {
namespace {

using nlohmann::json;
using testing::HasSubstr;

Status load(const std::string& text) {
  return Tokenizer::from_json(text, "t.json").status();
}

// The small tokenizer with one value replaced.
Status load_with(const std::string& pointer, const json& value) {
  json changed = test::small_tokenizer();
  changed[json::json_pointer(pointer)] = value;
  return load(changed.dump());
}

// An error of this kind, whose one line names the file and the field.
void expect_error(const Status& status, Code code, const std::string& field) {
  EXPECT_EQ(status.code, code) << status.message;
  EXPECT_THAT(status.message, HasSubstr("t.json"));
  EXPECT_THAT(status.message, HasSubstr(field));
  EXPECT_EQ(status.message.find('\n'), std::string::npos);
  EXPECT_FALSE(status.hint.empty());
}

TEST(TokenizerJson, EveryTruncationIsAnError) {
  const std::string text = test::small_tokenizer().dump();
  for (size_t size = 0; size < text.size(); size += 7) {
    expect_error(load(text.substr(0, size)), Code::kInvalid, "byte");
  }
}

TEST(TokenizerJson, RefusesWrongTypes) {
  const json wrong[] = {nullptr, true, -1, 0.5, "text", json::array({1}), {{"a", "b"}}};
  for (const json& value : wrong) {
    EXPECT_FALSE(load(value.dump()).ok());
    for (const char* pointer :
         {"/model", "/model/type", "/model/vocab", "/model/vocab/a", "/model/merges",
          "/model/merges/0", "/added_tokens/0", "/added_tokens/0/id", "/added_tokens/0/content"}) {
      if (value.is_string() && std::string_view(pointer).ends_with("/content")) continue;
      EXPECT_FALSE(load_with(pointer, value).ok()) << pointer << ' ' << value;
    }
  }
  expect_error(load_with("/model/vocab/a", "x"), Code::kInvalid, "model.vocab");
  expect_error(load_with("/model/merges/3", 5), Code::kInvalid, "model.merges");
  expect_error(load_with("/model/merges/3", {"a", "b", "c"}), Code::kInvalid, "model.merges");
  expect_error(load_with("/added_tokens", 3), Code::kInvalid, "added_tokens");
  expect_error(load_with("/added_tokens/1/special", 3), Code::kInvalid, "added_tokens[1].special");
}

TEST(TokenizerJson, RefusesOtherKinds) {
  const auto refused = [](const std::string& pointer, const json& value, const std::string& field) {
    expect_error(load_with(pointer, value), Code::kUnsupported, field);
  };
  refused("/model/type", "Unigram", "model.type");
  refused("/model/dropout", 0.1, "model.dropout");
  refused("/model/byte_fallback", true, "model.byte_fallback");
  refused("/model/ignore_merges", true, "model.ignore_merges");
  refused("/model/end_of_word_suffix", "</w>", "model.end_of_word_suffix");
  refused("/normalizer", {{"type", "Lowercase"}}, "normalizer");
  refused("/pre_tokenizer", {{"type", "Whitespace"}}, "pre_tokenizer");
  refused("/decoder", {{"type", "WordPiece"}}, "decoder");
  refused("/post_processor", {{"type", "TemplateProcessing"}}, "post_processor");
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
    refused(std::string("/added_tokens/1/") + flag, true, std::string("added_tokens[1].") + flag);
  }
}

// Split and ByteLevel as in Qwen2's file, with some values changed.
json pre_tokenizer(const json& split_changes, const json& bytes_changes) {
  json split = {{"type", "Split"},
                {"pattern", {{"Regex", std::string(kQwen2SplitPattern)}}},
                {"behavior", "Isolated"}};
  json bytes = {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  split.merge_patch(split_changes);
  bytes.merge_patch(bytes_changes);
  return {{"type", "Sequence"}, {"pretokenizers", {split, bytes}}};
}

TEST(TokenizerJson, KnowsOneWayToSplit) {
  const json same = json::object();
  EXPECT_TRUE(load_with("/pre_tokenizer", pre_tokenizer(same, same)).ok());
  const auto refused = [](const json& value, const std::string& field) {
    expect_error(load_with("/pre_tokenizer", value), Code::kUnsupported, field);
  };
  refused(pre_tokenizer({{"pattern", {{"Regex", "(a+)+b"}}}}, same), "pattern.Regex");
  refused(pre_tokenizer({{"pattern", {{"Regex", nullptr}, {"String", " "}}}}, same), "Regex");
  refused(pre_tokenizer({{"behavior", "Removed"}}, same), "pretokenizers[0]");
  refused(pre_tokenizer({{"invert", true}}, same), "pretokenizers[0]");
  refused(pre_tokenizer(same, {{"add_prefix_space", true}}), "pretokenizers[1]");
  refused(pre_tokenizer(same, {{"use_regex", true}}), "pretokenizers[1]");
}

TEST(TokenizerJson, RefusesVocabulariesThatDoNotHold) {
  expect_error(load_with("/model/vocab/a", 'b'), Code::kInvalid, "twice");
  expect_error(load_with("/model/vocab/zz", 1 << 20), Code::kInvalid, "model.vocab");
  expect_error(load_with("/model/vocab/zz", UINT64_MAX), Code::kInvalid, "model.vocab");
  expect_error(load_with("/model/vocab/zz", 1e30), Code::kInvalid, "model.vocab");
  expect_error(load_with("/model/vocab/z z", 280), Code::kInvalid, "byte-level characters");
  expect_error(load_with("/model/vocab/zz", test::kFirstAdded), Code::kInvalid, "added");
  json changed = test::small_tokenizer();
  changed["model"]["vocab"][""] = 280;
  expect_error(load(changed.dump()), Code::kInvalid, "byte-level characters");
  changed = test::small_tokenizer();
  changed["model"]["vocab"].erase("q");
  expect_error(load(changed.dump()), Code::kInvalid, "byte 113 (\"q\")");
  changed["model"]["vocab"] = json::object();
  expect_error(load(changed.dump()), Code::kInvalid, "model.vocab");
  changed["model"].erase("vocab");
  expect_error(load(changed.dump()), Code::kInvalid, "model.vocab");
}

TEST(TokenizerJson, RefusesMergesThatDoNotHold) {
  const auto refused = [](const json& merge, const std::string& what) {
    expect_error(load_with("/model/merges/0", merge), Code::kInvalid, what);
  };
  refused("zz a", "left token");
  refused("a zz", "right token");
  refused("x y", "merged token");
  refused("l l", "twice");
  refused("ab", "one space");
  refused("a b c", "one space");
  refused("", "one space");
  refused(" a", "left token");
  refused({"a b", "c"}, "one space");
}

TEST(TokenizerJson, RefusesAddedTokensThatDoNotHold) {
  const auto refused = [](const std::string& pointer, const json& value, Code code) {
    expect_error(load_with(pointer, value), code, "added_tokens");
  };
  refused("/added_tokens/1/id", test::kFirstAdded, Code::kInvalid);
  refused("/added_tokens/1/id", 1 << 20, Code::kInvalid);
  refused("/added_tokens/1/id", -1, Code::kInvalid);
  refused("/added_tokens/1/content", "<|im_end|>", Code::kInvalid);
  refused("/added_tokens/1/content", "", Code::kInvalid);
  // A word that plain text may yield would let users say a control token.
  json changed = test::small_tokenizer();
  changed["added_tokens"].push_back({{"id", 259}, {"content", "hello"}, {"special", true}});
  expect_error(load(changed.dump()), Code::kUnsupported, "added_tokens");
  changed["added_tokens"].back() = {{"id", 400}, {"content", "hello"}};
  expect_error(load(changed.dump()), Code::kInvalid, "hello");
  changed["added_tokens"] = json::array();
  for (int i = 0; i < 5000; ++i) changed["added_tokens"].push_back(json::object());
  expect_error(load(changed.dump()), Code::kInvalid, "added_tokens");
}

TEST(TokenizerJson, RefusesRepeatedKeysAndDepth) {
  expect_error(load(R"({"model": {}, "model": {}})"), Code::kInvalid, "repeated");
  expect_error(load(R"({"model": {"vocab": {}, "vocab": {}}})"), Code::kInvalid, "repeated");
  expect_error(load(R"({"model": {"vocab": {"a": 1, "a": 2}}})"), Code::kUnsupported, "model.type");
  json changed = test::small_tokenizer();
  std::string text = changed.dump();
  const std::string first = "\"!\":33,";
  text.insert(text.find(first), "\"!\":290,");
  expect_error(load(text), Code::kInvalid, "once");
  const std::string deep(1000000, '[');
  expect_error(load(deep), Code::kInvalid, "deeper");
  expect_error(load("{\"version\":" + deep), Code::kInvalid, "deeper");
  expect_error(load("{\"model\":{\"merges\":" + deep), Code::kInvalid, "merges");
  expect_error(load("{\"model\":{\"vocab\":{\"a\":" + deep), Code::kInvalid, "vocab");
}

TEST(TokenizerJson, KeepsUnreadableTextOutOfMessages) {
  const auto status = load_with("/model/merges/0", "a\nb" + std::string(5000, 'x'));
  expect_error(status, Code::kInvalid, "model.merges[0]");
  EXPECT_LT(status.message.size(), 300U);
  EXPECT_LT(load_with("/decoder", std::string(5000, 'x')).message.size(), 300U);
}

// The older form, written out from the same parts.
class Folder : public testing::Test {
 protected:
  void SetUp() override {
    const json whole = test::small_tokenizer();
    write("vocab.json", whole["model"]["vocab"].dump());
    std::string merges = "#version: 0.2\n";
    for (const auto& merge : whole["model"]["merges"]) merges += merge.get<std::string>() + "\r\n";
    write("merges.txt", merges);
    for (const auto& token : whole["added_tokens"]) {
      config_["added_tokens_decoder"][std::to_string(token["id"].get<int>())] = token;
    }
    write("tokenizer_config.json", config_.dump());
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
  }
  void expect_refusal(Code code, const std::string& what) {
    const auto status = Tokenizer::load(folder_.path()).status();
    EXPECT_EQ(status.code, code) << status.message;
    EXPECT_THAT(status.message, HasSubstr(what));
  }

  test::TemporaryFolder folder_;
  json config_ = {{"tokenizer_class", "Qwen2Tokenizer"}};
};

TEST_F(Folder, EqualsTheWhole) {
  const auto whole = Tokenizer::from_json(test::small_tokenizer().dump(), "t.json");
  const auto parts = Tokenizer::load(folder_.path());
  ASSERT_TRUE(parts.ok()) << parts.status().message;
  EXPECT_EQ(parts->vocab_size(), whole->vocab_size());
  const std::string text = "<|im_start|>hello e\u0301  aaaaa<|im_end|>\n\n42";
  EXPECT_EQ(*parts->encode(text, Trust::kTrusted), *whole->encode(text, Trust::kTrusted));
}

TEST_F(Folder, ReadsAddedTokensFile) {
  write("tokenizer_config.json", "{}");
  write("added_tokens.json", R"({"<|im_end|>": 302})");
  const auto tokenizer = Tokenizer::load(folder_.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message;
  EXPECT_TRUE(tokenizer->is_special(302));
  write("tokenizer_config.json", config_.dump());  // both say the same
  EXPECT_TRUE(Tokenizer::load(folder_.path()).ok());
  write("added_tokens.json", R"({"<|im_end|>": 299})");  // they do not
  expect_refusal(Code::kInvalid, "<|im_end|>");
}

TEST_F(Folder, WithoutAddedTokensAllTextIsPlain) {
  std::filesystem::remove(folder_ / "tokenizer_config.json");
  const auto tokenizer = Tokenizer::load(folder_.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().message;
  EXPECT_EQ(tokenizer->vocab_size(), 269U);
  EXPECT_EQ(tokenizer->find("<|im_end|>"), std::nullopt);
}

TEST_F(Folder, NamesWhatIsWrong) {
  write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizer"})");
  expect_refusal(Code::kUnsupported, "tokenizer_class");
  write("tokenizer_config.json", R"({"added_tokens_decoder": {"12x": {"content": "a"}}})");
  expect_refusal(Code::kInvalid, "added_tokens_decoder");
  write("tokenizer_config.json", R"({"added_tokens_decoder": []})");
  expect_refusal(Code::kInvalid, "added_tokens_decoder");
  write("tokenizer_config.json", "{}");
  write("added_tokens.json", R"({"x": "y"})");
  expect_refusal(Code::kInvalid, "added_tokens.json");
  std::filesystem::remove(folder_ / "added_tokens.json");
  write("vocab.json", "[1, 2]");
  expect_refusal(Code::kInvalid, "vocab.json");
  write("vocab.json", R"({"a": 1)");
  expect_refusal(Code::kInvalid, "vocab.json");
  std::filesystem::remove(folder_ / "merges.txt");
  write("vocab.json", "{}");
  expect_refusal(Code::kNotFound, "merges.txt");
  std::filesystem::remove(folder_ / "vocab.json");
  expect_refusal(Code::kNotFound, "tokenizer.json");
}

}  // namespace
}  // namespace fastvlm

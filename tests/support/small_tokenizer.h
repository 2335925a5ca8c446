// SPDX-License-Identifier: Apache-2.0
// A complete tokenizer.json made by hand: the 256 bytes in order (byte b has id b), a few merges,
// and the three control tokens of Qwen2. For tests and fuzzing without a third-party vocabulary.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/unicode.h"

namespace fastvlm::test {

constexpr int kFirstAdded = 300;  // <|endoftext|>, then <|im_start|> and <|im_end|>

inline nlohmann::json small_tokenizer() {
  using nlohmann::json;
  json vocabulary = json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocabulary[printable_from_bytes(std::string(1, static_cast<char>(byte)))] = byte;
  }
  json merges = json::array();
  const std::vector<std::pair<std::string, std::string>> pairs = {
      {"h", "e"}, {"l", "l"},   {"he", "ll"},    {"hell", "o"}, {" ", "hello"},
      {"a", "a"}, {"aa", "aa"}, {"\n", "\n"},    {" ", " "},    {"i", "m"},
      {"<", "|"}, {"|", ">"},   {"\xC3", "\xA9"}};
  for (size_t i = 0; i < pairs.size(); ++i) {
    const auto& [left, right] = pairs[i];
    vocabulary[printable_from_bytes(left + right)] = 256 + i;
    merges.push_back(printable_from_bytes(left) + ' ' + printable_from_bytes(right));
  }
  json added = json::array();
  for (const char* content : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    added.push_back({{"id", kFirstAdded + added.size()},
                     {"content", content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"model", {{"type", "BPE"}, {"vocab", vocabulary}, {"merges", merges}}}};
}

}  // namespace fastvlm::test

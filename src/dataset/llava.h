// SPDX-License-Identifier: Apache-2.0
// A record of LLaVA conversations, and everything that is wrong with it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace fastvlm {

inline constexpr std::string_view kImageMark = "<image>";

// One question and its answer.
struct LlavaExchange {
  std::string question;  // without the mark of the picture and the blanks around it
  std::string answer;
};

struct LlavaRecord {
  std::string id;  // empty: none
  std::string image;
  std::vector<LlavaExchange> exchanges;
};

size_t count_image_marks(std::string_view text);  // how often kImageMark is in it

// Reads what can be read; what is wrong is added to `problems`, one line each. Turns alternate
// between "human" and "gpt" and end with "gpt"; the first has one <image>, the others none; no
// answer is empty. `image` is a name, a list of one, or an object with `path`.
LlavaRecord read_llava(const nlohmann::json& record, std::vector<std::string>& problems);

// What is wrong with the sections of an answer: some but not all of those that the question lists
// (of all seven, where it lists none), an empty one, one that comes twice, two of the same text. An
// answer without any of them is free and has no fault.
std::vector<std::string> section_problems(std::string_view answer, std::string_view question = {});

// Does it have all seven sections, none of them empty?
bool has_all_sections(std::string_view answer);

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Texts that end an answer, found in it as it comes in pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace fastvlm {

class StopTexts {
 public:
  explicit StopTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {}

  // What is certain to stand before the first of the texts: `piece` and what was held back before,
  // without an end that may be the beginning of one.
  std::string push(std::string_view piece);
  // The answer ends: what was held back.
  std::string finish();
  bool found() const { return found_; }  // nothing more is passed on

 private:
  std::vector<std::string> texts_;
  std::string held_;
  bool found_ = false;
};

}  // namespace fastvlm

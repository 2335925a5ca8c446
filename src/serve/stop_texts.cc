// SPDX-License-Identifier: Apache-2.0
#include "serve/stop_texts.h"

#include <algorithm>
#include <utility>

namespace fastvlm {

std::string StopTexts::push(std::string_view piece) {
  if (found_) return {};
  held_ += piece;
  size_t end = std::string::npos;
  for (const std::string& text : texts_) end = std::min(end, held_.find(text));
  found_ = end != std::string::npos;
  if (!found_) {
    end = held_.size();
    for (const std::string& text : texts_) {
      const size_t most = std::min(text.size() - 1, held_.size());
      for (size_t length = most; length > 0; --length) {
        if (std::string_view(held_).substr(held_.size() - length) != text.substr(0, length))
          continue;
        end = std::min(end, held_.size() - length);
        break;
      }
    }
  }
  std::string out = held_.substr(0, end);
  held_.erase(0, end);
  return out;
}

std::string StopTexts::finish() {
  return found_ ? std::string() : std::exchange(held_, {});
}

}  // namespace fastvlm

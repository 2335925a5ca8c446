// SPDX-License-Identifier: Apache-2.0
// What the tests of decoders share.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>
#include <string>

#include "image/decode.h"

namespace fastvlm::test {

constexpr int kWidth = 26;  // of the pictures in tests/goldens/image
constexpr int kHeight = 19;

inline Result<Image> decode(const std::string& bytes, const DecodeOptions& options = {}) {
  return decode_image(std::as_bytes(std::span(bytes)), "picture", options);
}

// Every refusal names the picture on one line and says what to do next.
inline void expect_refusal(const Result<Image>& result, Code code, const std::string& part) {
  ASSERT_FALSE(result.ok());
  const Status& status = result.status();
  EXPECT_EQ(status.code, code) << status.message;
  EXPECT_THAT(status.message, testing::HasSubstr("picture: "));
  EXPECT_THAT(status.message, testing::HasSubstr(part));
  EXPECT_EQ(status.message.find('\n'), std::string::npos);
  EXPECT_FALSE(status.hint.empty()) << status.message;
}

inline std::string big_endian(size_t value, size_t bytes) {
  std::string out;
  for (size_t i = bytes; i-- > 0;) out += static_cast<char>(value >> (8 * i));
  return out;
}

}  // namespace fastvlm::test

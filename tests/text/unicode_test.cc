// SPDX-License-Identifier: Apache-2.0
#include "text/unicode.h"

#include <gtest/gtest.h>

namespace fastvlm {
namespace {

using std::string_literals::operator""s;

const std::string kMark = "\xEF\xBF\xBD";  // U+FFFD

// Right-hand sides are what Python 3.11 prints for bytes.decode("utf-8", errors="replace").
TEST(Utf8, ReplacesAsPython) {
  EXPECT_EQ(with_replacements(""), "");
  EXPECT_EQ(with_replacements("a\0b"s), "a\0b"s);
  EXPECT_EQ(with_replacements("é日😀"), "é日😀");
  EXPECT_EQ(with_replacements("\x80"), kMark);
  EXPECT_EQ(with_replacements("\xC0\xAF"), kMark + kMark);              // overlong
  EXPECT_EQ(with_replacements("\xE0\x9F\x80"), kMark + kMark + kMark);  // overlong
  EXPECT_EQ(with_replacements("\xED\xA0\x80"), kMark + kMark + kMark);  // a surrogate
  EXPECT_EQ(with_replacements("\xF4\x90\x80\x80"), kMark + kMark + kMark + kMark);
  EXPECT_EQ(with_replacements("\xF5\x80"), kMark + kMark);
  EXPECT_EQ(with_replacements("\xE4\xBD"), kMark);  // one mark for one broken beginning
  EXPECT_EQ(with_replacements("\xE4\xBDx"), kMark + "x");
  EXPECT_EQ(with_replacements("\xF0\x9F\x98"), kMark);
  EXPECT_EQ(with_replacements("\xF0\x9F\xE4\xBD\xA0"), kMark + "\xE4\xBD\xA0");
  EXPECT_EQ(with_replacements("\xE4\xE4\xBD\xA0\xFF"), kMark + "\xE4\xBD\xA0" + kMark);
}

TEST(Utf8, LeavesOnlyAnIncompleteEnd) {
  std::string text;
  EXPECT_EQ(append_whole_characters("a\xE4\xBD", text), 1U);
  EXPECT_EQ(append_whole_characters("\xE4\xBD\xA0", text), 3U);
  EXPECT_EQ(append_whole_characters("\xFF", text), 1U);
  EXPECT_EQ(text, "a\xE4\xBD\xA0" + kMark);
}

TEST(Nfc, ComposesAndOrders) {
  EXPECT_EQ(nfc("plain"), "plain");
  EXPECT_EQ(nfc("e\u0301"), "\u00E9");
  EXPECT_EQ(nfc("q\u0307\u0323"), "q\u0323\u0307");  // marks in order of class
  EXPECT_EQ(nfc("\u1100\u1161\u11A8"), "\uAC01");    // Hangul
  EXPECT_EQ(nfc("\uAC00\u11A7"), "\uAC00\u11A7");    // which is no tail
  EXPECT_EQ(nfc("\u0958"), "\u0915\u093C");          // excluded from composition
  EXPECT_EQ(nfc("\u2126"), "\u03A9");                // a singleton
  EXPECT_EQ(nfc("\U0002F800"), "\u4E3D");            // beyond the basic plane
  EXPECT_EQ(nfc("\u1EA5\u0323"), "\u1EAD\u0301");    // taken apart and put together anew
  EXPECT_EQ(nfc("a\0e\u0301"s), "a\0\u00E9"s);
}

TEST(Nfc, LongRunOfMarksStaysFast) {
  std::string text = "a";
  for (int i = 0; i < 200000; ++i) text += i % 2 == 0 ? "\u0301" : "\u0323";
  const std::string normal = nfc(text);  // quadratic sorting would take minutes
  EXPECT_EQ(normal.substr(0, 5), "\u1EA1\u0323");
  EXPECT_EQ(normal.size(), 3 + 2 * 199999U);
  EXPECT_EQ(nfc(normal), normal);
}

TEST(Printable, IsABijection) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(1, static_cast<char>(byte));
    EXPECT_EQ(bytes_from_printable(printable_from_bytes(bytes)), bytes);
  }
  EXPECT_EQ(printable_from_bytes(" a\n"), "\u0120a\u010A");
  EXPECT_EQ(bytes_from_printable("a b"), std::nullopt);     // a space is written as U+0120
  EXPECT_EQ(bytes_from_printable("\u0144"), std::nullopt);  // just behind the table
  EXPECT_EQ(bytes_from_printable("\xFF"), std::nullopt);
}

TEST(Excerpt, IsOneValidLine) {
  EXPECT_EQ(excerpt("a\nb"), "a b");
  EXPECT_EQ(excerpt(std::string(79, 'a') + "\u00E9" + "b"), std::string(79, 'a') + kMark);
}

}  // namespace
}  // namespace fastvlm

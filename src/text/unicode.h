// SPDX-License-Identifier: Apache-2.0
// The little of Unicode that a byte-level tokenizer needs: whole characters out of bytes, NFC, and
// the printable alphabet in which vocabularies write their bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fastvlm {

// What the bytes at the front of a string are.
struct Utf8Front {
  enum class Kind {
    kCharacter,   // one whole character
    kInvalid,     // can never become one; `length` is the maximal subpart that U+FFFD stands for
    kIncomplete,  // the string ends inside what may become one
  };
  Kind kind;
  size_t length;  // bytes, >= 1
};
Utf8Front utf8_front(std::string_view bytes);  // `bytes` must not be empty

// Appends the front of `bytes` to `text` with U+FFFD in place of what is invalid, up to an
// incomplete end, and returns how many bytes were used (at most 3 are left).
size_t append_whole_characters(std::string_view bytes, std::string& text);

// One character behind `text`.
void append_utf8(char32_t value, std::string& text);

// `bytes` with U+FFFD in place of all that is not UTF-8, as Python's decode(errors="replace").
std::string with_replacements(std::string_view bytes);

// The beginning of a text as a message may show it: one line, valid UTF-8, at most 80 bytes of it.
std::string excerpt(std::string_view bytes);

// Normal form C of valid UTF-8, in time n log n whatever the text.
std::string nfc(std::string_view utf8);

// Vocabularies write each byte as one printable character (GPT-2's table: "Ġ" is a space).
// The bytes of a token written like that; nothing when it holds a character outside the table.
std::optional<std::string> bytes_from_printable(std::string_view token);
std::string printable_from_bytes(std::string_view bytes);

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "formats/python_names.h"

#include <charconv>
#include <cstdint>
#include <utility>

#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr char kExportDetector[] = "export the detector again";

void append_utf8(uint32_t code, std::string& out) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// Goes through the text once; every step answers false where the text is something else.
class NamesReader {
 public:
  explicit NamesReader(std::string_view text) : rest_(text) {}

  size_t left() const { return rest_.size(); }
  bool at_end() {
    skip_spaces();
    return rest_.empty();
  }

  bool take(char sign) {
    skip_spaces();
    if (rest_.empty() || rest_.front() != sign) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool number(int64_t& value) {
    skip_spaces();
    const auto [end, fault] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
    if (fault != std::errc()) return false;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return true;
  }

  bool string(std::string& value) {
    skip_spaces();
    if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"')) return false;
    const char quote = rest_.front();
    rest_.remove_prefix(1);
    while (!rest_.empty()) {
      const char sign = rest_.front();
      rest_.remove_prefix(1);
      if (sign == quote) return true;
      if (sign != '\\') {
        value += sign;
      } else if (!escape(value)) {
        return false;
      }
    }
    return false;
  }

 private:
  void skip_spaces() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n')) {
      rest_.remove_prefix(1);
    }
  }

  bool escape(std::string& value) {
    if (rest_.empty()) return false;
    const char sign = rest_.front();
    rest_.remove_prefix(1);
    switch (sign) {
      case '\\':
      case '\'':
      case '"':
        value += sign;
        return true;
      case 'n':
        value += '\n';
        return true;
      case 'r':
        value += '\r';
        return true;
      case 't':
        value += '\t';
        return true;
      case 'x':
        return code_point(2, value);
      case 'u':
        return code_point(4, value);
      case 'U':
        return code_point(8, value);
      default:
        return false;
    }
  }

  bool code_point(size_t digits, std::string& value) {
    if (rest_.size() < digits) return false;
    uint32_t code = 0;
    const char* end = rest_.data() + digits;
    const auto result = std::from_chars(rest_.data(), end, code, 16);
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    if (result.ec != std::errc() || result.ptr != end || code > 0x10FFFF || surrogate) return false;
    rest_.remove_prefix(digits);
    append_utf8(code, value);
    return true;
  }

  std::string_view rest_;
};

}  // namespace

Result<std::vector<std::string>> dense_names(const std::map<int64_t, std::string>& by_id,
                                             std::string_view where) {
  std::vector<std::string> names;
  for (const auto& [id, name] : by_id) {
    if (id != static_cast<int64_t>(names.size())) {
      return error(Code::kInvalid,
                   cat(where, ": expected a name for class ", names.size(), ", found one for ", id),
                   kExportDetector);
    }
    names.push_back(name);
  }
  return names;
}

Result<std::vector<std::string>> parse_python_names(std::string_view text, std::string_view where) {
  NamesReader reader(text);
  const bool dict = reader.take('{');
  const bool list = !dict && reader.take('[');
  const char closing = dict ? '}' : ']';
  const auto wrong = [&](const char* expected) {
    return error(Code::kInvalid,
                 cat(where, ": expected ", expected, " at byte ", text.size() - reader.left()),
                 kExportDetector);
  };
  if (!dict && !list) return wrong("a dict or list of names");
  std::map<int64_t, std::string> by_id;
  bool closed = reader.take(closing);
  while (!closed) {
    auto id = static_cast<int64_t>(by_id.size());
    std::string name;
    if (dict && (!reader.number(id) || !reader.take(':'))) return wrong("a class number and `:`");
    if (!reader.string(name)) return wrong("a name in quotes");
    if (by_id.size() == kMostClasses) return wrong("at most 100,000 names");
    if (!by_id.emplace(id, std::move(name)).second) return wrong("each class once");
    const bool more = reader.take(',');
    closed = reader.take(closing);
    if (!more && !closed) return wrong("a comma or the end");
  }
  if (!reader.at_end()) return wrong("the end");
  return dense_names(by_id, where);
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "dataset/csv.h"

#include "base/strings.h"

namespace fastvlm {
namespace {

class CsvReader {
 public:
  CsvReader(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  Result<std::vector<CsvRow>> rows() {
    std::vector<CsvRow> rows;
    while (at_ < text_.size()) {
      CsvRow row;
      row.line = line_;
      FASTVLM_RETURN_IF_ERROR(read_row(row));
      if (row.fields.size() > 1 || !row.fields[0].empty()) rows.push_back(std::move(row));
    }
    return rows;
  }

 private:
  Status read_row(CsvRow& row) {
    while (true) {
      std::string field;
      FASTVLM_RETURN_IF_ERROR(at_ < text_.size() && text_[at_] == '"' ? read_quoted(field)
                                                                      : read_plain(field));
      row.fields.push_back(std::move(field));
      if (at_ >= text_.size()) return {};
      const char end = text_[at_++];
      if (end == ',') continue;
      if (end == '\r' && at_ < text_.size() && text_[at_] == '\n') ++at_;
      ++line_;
      return {};
    }
  }

  Status read_plain(std::string& field) {
    const size_t end = std::min(text_.find_first_of(",\r\n", at_), text_.size());
    field = text_.substr(at_, end - at_);
    at_ = end;
    return {};
  }

  Status read_quoted(std::string& field) {
    const int64_t begin = line_;
    for (++at_;; ++at_) {
      if (at_ >= text_.size()) return wrong(begin, "a quote that ends");
      if (text_[at_] == '"' && (at_ + 1 >= text_.size() || text_[at_ + 1] != '"')) break;
      if (text_[at_] == '"') ++at_;  // a doubled one is one
      if (text_[at_] == '\n') ++line_;
      field += text_[at_];
    }
    ++at_;
    const bool ended =
        at_ >= text_.size() || std::string_view(",\r\n").find(text_[at_]) != std::string_view::npos;
    return ended ? Status{} : wrong(line_, "a comma behind a quoted field");
  }

  Status wrong(int64_t line, const std::string& expected) const {
    return error(Code::kInvalid, cat(name_, ":", line, ": expected ", expected),
                 "write a quote inside a field twice: \"\"");
  }

  std::string_view text_;
  const std::string& name_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

Result<std::vector<CsvRow>> parse_csv(std::string_view text, const std::string& name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return CsvReader(text, name).rows();
}

}  // namespace fastvlm

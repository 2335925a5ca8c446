// SPDX-License-Identifier: Apache-2.0
// Rows of a map that is never there as a whole: a row is made, kept while later rows need it, and
// given up.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace fastvlm {

class RollingRows {
 public:
  // `data` has room for `room` rows of `row_floats`.
  RollingRows(int64_t row_floats, int64_t room, float* data)
      : row_floats_(row_floats), room_(room), data_(data) {}

  // Makes rows [begin, end) be there, at most `room` of them, and as many behind them as there is
  // room for, up to `limit`. make(first, last, y) writes rows [first, last) to y.
  template <typename Make>
  void want(int64_t begin, int64_t end, int64_t limit, const Make& make) {
    if (begin >= begin_ && end <= end_) return;
    if (begin < begin_ || begin > end_) end_ = begin;  // nothing of use is there
    const auto kept = static_cast<size_t>((end_ - begin) * row_floats_);
    if (kept > 0) std::memmove(data_, row(begin), kept * sizeof(float));
    begin_ = begin;
    const int64_t last = std::max(end, std::min(begin + room_, limit));
    make(end_, last, row(end_));
    end_ = last;
  }

  int64_t begin() const { return begin_; }
  int64_t count() const { return end_ - begin_; }
  float* row(int64_t y) { return data_ + (y - begin_) * row_floats_; }

 private:
  int64_t row_floats_;
  int64_t room_;
  float* data_;
  int64_t begin_ = 0;
  int64_t end_ = 0;
};

}  // namespace fastvlm

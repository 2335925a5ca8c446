// SPDX-License-Identifier: Apache-2.0
// The learning rate of each step: a linear warm-up, then a cosine down to zero, as in Hugging
// Face's Trainer, where steps count from 0, so that the very first rate of a warm-up is 0.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace fastvlm {

struct CosineSchedule {
  double highest = 0;
  int64_t warmup = 0;  // steps
  int64_t total = 0;   // steps

  static CosineSchedule with_ratio(double highest, double warmup_ratio, int64_t total) {
    const double steps = std::ceil(warmup_ratio * static_cast<double>(total));
    return {highest, static_cast<int64_t>(steps), total};
  }

  double rate(int64_t step) const {
    if (step < warmup) {
      return highest * static_cast<double>(step) / static_cast<double>(warmup);
    }
    const double progress = static_cast<double>(step - warmup) /
                            static_cast<double>(std::max<int64_t>(1, total - warmup));
    return highest * std::max(0.0, 0.5 * (1 + std::cos(std::numbers::pi * progress)));
  }
};

}  // namespace fastvlm

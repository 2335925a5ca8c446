// SPDX-License-Identifier: Apache-2.0
// What a run costs, by the method of Lacoste et al. 2019 (https://arxiv.org/abs/1910.09700): power
// times hours times the carbon intensity of the grid. Power is what the processor measures (RAPL)
// or what the user says; nothing is guessed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

// The energy counters of processor packages and their memory, as Linux shows them. Goals: counters
// that wrap around are followed, as long as they are read more often than they wrap (every few
// minutes will do). Non-goals: what other parts of the machine take, and which program took it.
class EnergyCounters {
 public:
  // None of them where the system shows none, or lets us read none.
  static EnergyCounters open(const std::filesystem::path& root = "/sys/class/powercap");

  // Joules since open(). None: there are no counters, or one of them could not be read any more.
  std::optional<double> joules();

 private:
  struct Counter {
    std::filesystem::path file;
    uint64_t range = 0;  // microjoules until it begins again at 0
    uint64_t last = 0;   // microjoules
  };

  std::vector<Counter> counters_;
  uint64_t total_ = 0;  // microjoules
};

// Grams of CO2 equivalents that a kilowatt-hour of a region's electricity stands for.
struct CarbonIntensity {
  std::string_view region;  // "DEU", by ISO 3166-1; empty: a number of the user's
  std::string_view name;    // "Germany"
  double grams = 0;
};

// Of whole countries in 2023 (docs/TRAINING.md names the source).
std::span<const CarbonIntensity> carbon_intensities();

// A region's code, in any case, or the number of grams itself. kUsage: neither.
Result<CarbonIntensity> find_carbon_intensity(std::string_view text);

}  // namespace fastvlm

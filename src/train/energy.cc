// SPDX-License-Identifier: Apache-2.0
#include "train/energy.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "base/strings.h"

namespace fastvlm {
namespace {

constexpr double kMostGrams = 5000;  // no grid comes near it

// Our World in Data, "Carbon intensity of electricity generation", 2023, rounded to a gram.
constexpr CarbonIntensity kIntensities[] = {
    {"AUS", "Australia", 549},   {"AUT", "Austria", 111},       {"BEL", "Belgium", 138},
    {"BRA", "Brazil", 98},       {"CAN", "Canada", 170},        {"CHE", "Switzerland", 35},
    {"CHL", "Chile", 291},       {"CHN", "China", 582},         {"CZE", "Czechia", 450},
    {"DEU", "Germany", 381},     {"DNK", "Denmark", 152},       {"ESP", "Spain", 174},
    {"FIN", "Finland", 79},      {"FRA", "France", 56},         {"GBR", "United Kingdom", 238},
    {"GRC", "Greece", 337},      {"IND", "India", 713},         {"IRL", "Ireland", 291},
    {"ITA", "Italy", 331},       {"JPN", "Japan", 485},         {"KEN", "Kenya", 70},
    {"KOR", "South Korea", 431}, {"MEX", "Mexico", 507},        {"NGA", "Nigeria", 523},
    {"NLD", "Netherlands", 268}, {"NOR", "Norway", 30},         {"NZL", "New Zealand", 113},
    {"POL", "Poland", 662},      {"PRT", "Portugal", 166},      {"ROU", "Romania", 241},
    {"SGP", "Singapore", 471},   {"SWE", "Sweden", 41},         {"TUR", "Turkey", 465},
    {"TWN", "Taiwan", 642},      {"USA", "United States", 369}, {"VNM", "Vietnam", 475},
    {"ZAF", "South Africa", 708}};

std::optional<uint64_t> read_number(const std::filesystem::path& file) {
  uint64_t number = 0;
  if (std::ifstream in(file); in >> number) return number;
  return std::nullopt;
}

// Packages with their memory. Zones of cores and graphics are parts of a package; intel-rapl-mmio
// counts the same packages again.
bool counts(const std::filesystem::path& zone) {
  if (!zone.filename().string().starts_with("intel-rapl:")) return false;
  std::string name;
  std::ifstream in(zone / "name");
  return std::getline(in, name) && (name.starts_with("package") || name.starts_with("dram"));
}

}  // namespace

EnergyCounters EnergyCounters::open(const std::filesystem::path& root) {
  EnergyCounters result;
  std::error_code ignored;
  for (const auto& zone : std::filesystem::directory_iterator(root, ignored)) {
    if (!counts(zone.path())) continue;
    const std::filesystem::path file = zone.path() / "energy_uj";
    const auto now = read_number(file);
    const auto range = read_number(zone.path() / "max_energy_range_uj");
    if (!now || !range) return {};  // a part of the energy would pass for all of it
    result.counters_.push_back({file, *range, *now});
  }
  return result;
}

std::optional<double> EnergyCounters::joules() {
  for (Counter& counter : counters_) {
    const auto now = read_number(counter.file);
    if (!now) {
      counters_.clear();
      break;
    }
    total_ += *now - counter.last + (*now < counter.last ? counter.range : 0);
    counter.last = *now;
  }
  if (counters_.empty()) return std::nullopt;
  return 1e-6 * static_cast<double>(total_);
}

std::span<const CarbonIntensity> carbon_intensities() {
  return kIntensities;
}

Result<CarbonIntensity> find_carbon_intensity(std::string_view text) {
  const std::string wanted = lower_case(text);
  for (const CarbonIntensity& known : kIntensities) {
    if (lower_case(known.region) == wanted) return known;
  }
  double grams = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), grams);
  if (problem == std::errc() && end == text.data() + text.size() && grams >= 0 &&
      grams <= kMostGrams) {
    return CarbonIntensity{"", "", grams};
  }
  std::string codes;
  for (const CarbonIntensity& known : kIntensities) {
    codes += (codes.empty() ? "" : " ") + std::string(known.region);
  }
  return error(
      Code::kUsage,
      cat("--region: expected a country's code or grams of CO2e per kWh, found ", printable(text)),
      cat("give the number of your grid, or one of ", codes));
}

}  // namespace fastvlm

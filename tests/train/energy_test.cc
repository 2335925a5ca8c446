// SPDX-License-Identifier: Apache-2.0
// Energy from counters that wrap around, and what a kilowatt-hour stands for.
#include "train/energy.h"

#include <gmock/gmock.h>

#include <fstream>
#include <set>

#include "support/files.h"

namespace fastvlm {
namespace {

class Energy : public testing::Test {
 protected:
  void zone(const std::string& zone, const std::string& name, uint64_t energy,
            uint64_t range = 1'000'000) const {
    const std::filesystem::path path = folder_ / zone;
    std::filesystem::create_directories(path);
    std::ofstream(path / "name") << name << "\n";
    std::ofstream(path / "energy_uj") << energy << "\n";
    std::ofstream(path / "max_energy_range_uj") << range << "\n";
  }

  test::TemporaryFolder folder_;
};

TEST_F(Energy, PackagesAndTheirMemoryAreAdded) {
  zone("intel-rapl:0", "package-0", 100'000);
  zone("intel-rapl:0:0", "core", 90'000);
  zone("intel-rapl:0:1", "dram", 5'000);
  zone("intel-rapl:1", "package-1", 7);
  zone("intel-rapl:2", "psys", 1);
  zone("intel-rapl-mmio:0", "package-0", 100'000);
  EnergyCounters counters = EnergyCounters::open(folder_.path());
  EXPECT_EQ(counters.joules(), 0.0);
  zone("intel-rapl:0", "package-0", 350'000);
  zone("intel-rapl:0:0", "core", 900'000);
  zone("intel-rapl:0:1", "dram", 15'000);
  zone("intel-rapl:1", "package-1", 7 + 40'000);
  zone("intel-rapl:2", "psys", 999'999);
  zone("intel-rapl-mmio:0", "package-0", 350'000);
  EXPECT_DOUBLE_EQ(*counters.joules(), 0.25 + 0.01 + 0.04);
}

TEST_F(Energy, CountersBeginAgainAtTheirRange) {
  zone("intel-rapl:0", "package-0", 900'000);
  EnergyCounters counters = EnergyCounters::open(folder_.path());
  zone("intel-rapl:0", "package-0", 100'000);
  EXPECT_DOUBLE_EQ(*counters.joules(), 0.2);
  zone("intel-rapl:0", "package-0", 950'000);
  EXPECT_DOUBLE_EQ(*counters.joules(), 1.05);
  zone("intel-rapl:0", "package-0", 949'999);
  EXPECT_DOUBLE_EQ(*counters.joules(), 2.049999);
}

TEST_F(Energy, NothingIsGuessed) {
  EXPECT_EQ(EnergyCounters::open(folder_ / "absent").joules(), std::nullopt);
  zone("intel-rapl:0", "package-0", 1);
  zone("intel-rapl:1", "package-1", 1);
  EnergyCounters counters = EnergyCounters::open(folder_.path());
  EXPECT_TRUE(counters.joules().has_value());
  std::ofstream(folder_.path() / "intel-rapl:1/energy_uj") << "?";
  EXPECT_EQ(counters.joules(), std::nullopt);
  EXPECT_EQ(counters.joules(), std::nullopt) << "nor later";
  EXPECT_EQ(EnergyCounters::open(folder_.path()).joules(), std::nullopt) << "a part is not all";
}

TEST_F(Energy, RegionsByCodeOrNumber) {
  const auto germany = find_carbon_intensity("deu");
  ASSERT_TRUE(germany.ok());
  EXPECT_EQ(germany->name, "Germany");
  EXPECT_EQ(germany->grams, 381);
  EXPECT_EQ(find_carbon_intensity("12.5")->grams, 12.5);
  EXPECT_EQ(find_carbon_intensity("12.5")->name, "");
  for (const char* wrong : {"", "DE", "Atlantis", "-1", "nan", "inf", "1e9", "12 g"}) {
    const auto found = find_carbon_intensity(wrong);
    ASSERT_FALSE(found.ok()) << wrong;
    EXPECT_EQ(found.status().code, Code::kUsage);
    EXPECT_THAT(found.status().hint, testing::HasSubstr("DEU"));
  }
  std::set<std::string_view> seen;
  for (const CarbonIntensity& each : carbon_intensities()) {
    EXPECT_TRUE(seen.insert(each.region).second) << each.region;
    EXPECT_GT(each.grams, 0);
    EXPECT_LT(each.grams, 1000);
  }
}

}  // namespace
}  // namespace fastvlm

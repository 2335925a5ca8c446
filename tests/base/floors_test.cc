// SPDX-License-Identifier: Apache-2.0
// The house rule: an include points to a lower floor, or sideways along the few doors named here,
// and no two rooms include each other.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

namespace fastvlm {
namespace {

const std::map<std::string, int> kFloors = {
    {"cli", 5},      {"serve", 5},    {"capi", 5}, {"caption", 4}, {"train", 4},    {"dataset", 4},
    {"evaluate", 4}, {"quantize", 4}, {"hub", 4},  {"vision", 3},  {"language", 3}, {"detect", 3},
    {"formats", 2},  {"image", 2},    {"text", 2}, {"kernels", 1}, {"base", 0}};

// Doors between rooms of one floor.
const std::set<std::pair<std::string, std::string>> kDoors = {
    {"cli", "serve"},        {"dataset", "caption"}, {"dataset", "hub"},
    {"train", "dataset"},    {"train", "caption"},   {"quantize", "caption"},
    {"evaluate", "dataset"}, {"evaluate", "caption"}};

bool allowed(const std::string& from, const std::string& to) {
  return from == to || kFloors.at(from) > kFloors.at(to) || kDoors.contains({from, to});
}

TEST(Floors, IncludesPointDown) {
  const std::filesystem::path source = std::filesystem::path(FASTVLM_SOURCE_DIR) / "src";
  const std::regex include("^\\s*#\\s*include\\s*\"([a-z_]+)/[^\"]+\"");
  std::set<std::pair<std::string, std::string>> seen;
  int files = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(source)) {
    const std::string extension = entry.path().extension();
    if (extension != ".h" && extension != ".cc" && extension != ".inc") continue;
    ++files;
    const std::string room = std::filesystem::relative(entry.path(), source).begin()->string();
    ASSERT_TRUE(kFloors.contains(room))
        << "src/" << room << " has no floor; give it one here and in docs/ARCHITECTURE.md";
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, include) || !kFloors.contains(match[1])) continue;
      EXPECT_TRUE(allowed(room, match[1]))
          << entry.path().string() << " must not include " << match[0];
      if (room != match[1]) seen.emplace(room, match[1]);
    }
  }
  EXPECT_GT(files, 10);
  for (const auto& [from, to] : seen) {
    EXPECT_FALSE(seen.contains({to, from})) << from << " and " << to << " include each other";
  }
}

// Two types of one name in one namespace are one type to the linker, whichever room each is from:
// it keeps one of their destructors for both. Rooms do not see each other, so compilers do not
// tell.
TEST(Floors, ATypeHasANameOfItsOwn) {
  const std::filesystem::path source = std::filesystem::path(FASTVLM_SOURCE_DIR) / "src";
  const std::regex opened("^namespace ?([a-zA-Z_:]*) ?\\{");
  const std::regex type(
      "^(?:struct|class|union|enum class) (?:\\[\\[[a-z]+\\]\\] "
      ")?([A-Za-z0-9_]+)(?![A-Za-z0-9_:])[^;]*$");
  std::map<std::string, std::string> where;  // the file by the full name
  for (const auto& entry : std::filesystem::recursive_directory_iterator(source)) {
    const std::string extension = entry.path().extension();
    if (extension != ".h" && extension != ".cc") continue;
    std::vector<std::string> spaces;  // unnamed ones are empty
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::smatch match;
      if (std::regex_search(line, match, opened)) {
        spaces.push_back(match[1]);
      } else if (line.starts_with("}  // namespace") && !spaces.empty()) {
        spaces.pop_back();
      } else if (std::regex_search(line, match, type) &&
                 std::find(spaces.begin(), spaces.end(), "") == spaces.end()) {
        std::string name;
        for (const std::string& space : spaces) name += space + "::";
        const auto [known, is_new] = where.emplace(name + match[1].str(), entry.path().string());
        EXPECT_TRUE(is_new || known->second == entry.path().string())
            << known->first << " is in " << known->second << " and in " << entry.path().string();
      }
    }
  }
  EXPECT_GT(where.size(), 100U);
}

}  // namespace
}  // namespace fastvlm

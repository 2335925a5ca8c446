// SPDX-License-Identifier: Apache-2.0
// Files for tests: a folder that removes itself, the goldens of the repository, and the optional
// shared folder.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace fastvlm::test {

// A fresh folder under the system's temporary folder, removed with everything in it at the end of
// the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "fastvlm-test-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// tests/goldens/<name>: small reference data that travels with the repository.
inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(FASTVLM_SOURCE_DIR) / "tests" / "goldens" / name;
}

// The model that travels with the repository.
inline std::filesystem::path demo_model() {
  return std::filesystem::path(FASTVLM_SOURCE_DIR) / "models" / "demo";
}

// The bytes of tests/goldens/<name>; throws where it cannot be read.
inline std::string golden_bytes(const std::string& name) {
  std::ifstream file(golden(name), std::ios::binary);
  file.exceptions(std::ios::failbit | std::ios::badbit);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

// The folder of larger reference data and third-party weights beside the repository, or
// $FASTVLM_SHARED; a test that needs a file of it skips itself when the file is absent: if
// (!std::filesystem::exists(shared("..."))) GTEST_SKIP();
inline std::filesystem::path shared(const std::string& name) {
  const char* folder = std::getenv("FASTVLM_SHARED");
  const std::filesystem::path root =
      folder != nullptr ? folder
                        : std::filesystem::path(FASTVLM_SOURCE_DIR).parent_path() / "shared";
  return root / name;
}

}  // namespace fastvlm::test

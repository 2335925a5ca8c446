// SPDX-License-Identifier: Apache-2.0
// Licence and source of a model, from whichever of its files tell them.
#include "hub/model_origin.h"

#include <gtest/gtest.h>

#include <fstream>

#include "hub/cache.h"
#include "support/files.h"

namespace fastvlm {
namespace {

TEST(ModelOrigin, TheCardThenTheRecordThenTheText) {
  const test::TemporaryFolder folder;
  const auto license = [&] { return model_origin(folder.path()).license; };
  EXPECT_EQ(license(), "");
  std::ofstream(folder / "LICENSE") << "\n   Apache License\n   Version 2.0, January 2004\n";
  EXPECT_EQ(license(), "apache-2.0");
  std::ofstream(folder / "LICENSE") << "Terms of the house\n";
  EXPECT_EQ(license(), "");

  PulledModel record;
  record.folder = folder.path();
  record.source = "apple/FastVLM-0.5B";
  record.license = "unknown: the address says nothing about it";
  ASSERT_TRUE(write_record(record).ok());
  EXPECT_EQ(license(), "");
  EXPECT_EQ(model_origin(folder.path()).source, "apple/FastVLM-0.5B");
  record.license = "the source says: cc-by-4.0";
  ASSERT_TRUE(write_record(record).ok());
  EXPECT_EQ(license(), "cc-by-4.0");
  record.license = "Apple Machine Learning Research Model licence (apple-amlr): research use only";
  ASSERT_TRUE(write_record(record).ok());
  EXPECT_EQ(license(), "apple-amlr");

  std::ofstream(folder / "README.md") << "---\nlicense: 'mit'\n---\nlicense: gpl-3.0\n";
  EXPECT_EQ(license(), "mit");
  std::ofstream(folder / "README.md") << "---\nlicense: other\nlicense_name: house\n---\n";
  EXPECT_EQ(license(), "house");
  std::ofstream(folder / "README.md") << "license: mit\n";
  EXPECT_EQ(license(), "apple-amlr");
}

}  // namespace
}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "train/team.h"

#include <gmock/gmock.h>

#include <cstdlib>

namespace fastvlm {
namespace {

TEST(Team, OneAloneIsAWholeTeam) {
  if (std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) GTEST_SKIP() << "started by mpirun";
  const auto team = join_team();
  ASSERT_TRUE(team.ok()) << team.status().message;
  EXPECT_EQ((*team)->size(), 1);
  EXPECT_TRUE((*team)->leads());
  EXPECT_TRUE(check_same(**team, "seed", "1").ok());
  EXPECT_EQ((*team)->agree(error(Code::kIo, "full")).message, "full");
}

TEST(Team, OneOfSeveralNeedsABuildWithMpi) {
  if (FASTVLM_MPI) GTEST_SKIP() << "built with FASTVLM_MPI";
  ::setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  const Status status = join_team().status();
  ::unsetenv("OMPI_COMM_WORLD_SIZE");
  EXPECT_EQ(status.code, Code::kUnsupported);
  EXPECT_THAT(status.message, testing::HasSubstr("is built without MPI"));
  EXPECT_THAT(status.hint, testing::HasSubstr("-DFASTVLM_MPI=ON"));
}

}  // namespace
}  // namespace fastvlm

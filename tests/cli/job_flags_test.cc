// SPDX-License-Identifier: Apache-2.0
// Shards, and what a run shows of itself.
#include "cli/job_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "cli/progress.h"

namespace fastvlm::cli {
namespace {

using testing::HasSubstr;

Result<Shard> shard(const std::string& text, const std::map<std::string, const char*>& variables) {
  return parse_shard(text, [&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second;
  });
}

void expect_shard(const Result<Shard>& found, size_t index, size_t count) {
  ASSERT_TRUE(found.ok()) << found.status().message;
  EXPECT_EQ(found->index, index);
  EXPECT_EQ(found->count, count);
}

TEST(Shards, AsWritten) {
  expect_shard(shard("", {}), 0, 1);
  expect_shard(shard("0/1", {}), 0, 1);
  expect_shard(shard("3/8", {{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}}), 3, 8);
  for (const char* bad : {"8/8", "1", "/2", "1/", "-1/2", "1/0", "a/b", "1/2/3", "auto/", "auto/0",
                          "auto", "auto/4"}) {
    const Status refused = shard(bad, {}).status();
    EXPECT_EQ(refused.code, Code::kUsage) << bad;
    EXPECT_FALSE(refused.hint.empty()) << bad;
  }
}

TEST(Shards, FromTheEnvironment) {
  expect_shard(shard("auto", {{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "4"}}), 1, 4);
  // mpirun inside a Slurm job.
  expect_shard(shard("auto", {{"SLURM_PROCID", "0"},
                              {"SLURM_NTASKS", "4"},
                              {"OMPI_COMM_WORLD_RANK", "3"},
                              {"OMPI_COMM_WORLD_SIZE", "8"}}),
               3, 8);
  expect_shard(shard("auto/5", {{"JOB_COMPLETION_INDEX", "4"}}), 4, 5);
  EXPECT_THAT(shard("auto", {{"JOB_COMPLETION_INDEX", "4"}}).status().message,
              HasSubstr("not how many there are"));
  EXPECT_THAT(shard("auto/4", {{"JOB_COMPLETION_INDEX", "4"}}).status().message,
              HasSubstr("JOB_COMPLETION_INDEX is 4 of 4"));
  EXPECT_FALSE(shard("auto/2", {{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "4"}}).ok());
  EXPECT_FALSE(shard("auto", {{"SLURM_PROCID", "x"}, {"SLURM_NTASKS", "4"}}).ok());
}

TEST(Shards, HaveFilesOfTheirOwn) {
  EXPECT_EQ(shard_file("a/captions.jsonl", {3, 8}), "a/captions.3-of-8.jsonl");
  EXPECT_EQ(shard_file("a/captions.jsonl", {0, 1}), "a/captions.jsonl");
}

TEST(Progress, SaysHowFarItIs) {
  JobCounts counts;
  counts.total = 40000;
  counts.made = 1200;
  counts.kept = 34;
  EXPECT_EQ(progress_line(counts, 600, 579e6),
            "1,234 of 40,000 (3 %), 120 a minute, 5 h 23 min left, 579 MB");
  counts.failed = 3;
  counts.total = 1237;
  EXPECT_EQ(progress_line(counts, 24000, 579.4e6),
            "1,237 of 1,237 (100 %), 3.0 a minute, 3 failed, 579 MB");
  EXPECT_EQ(progress_line({.total = 5}, 0, 1e6), "0 of 5 (0 %), 1 MB");
  counts.total = 0;  // a folder that is watched
  EXPECT_THAT(progress_line(counts, 600, 1e6),
              testing::StartsWith("1,237, 120 a minute, 3 failed"));
}

TEST(Progress, Durations) {
  EXPECT_EQ(duration(0.4), "0 s");
  EXPECT_EQ(duration(59.6), "1 min 0 s");
  EXPECT_EQ(duration(3599), "59 min 59 s");
  EXPECT_EQ(duration(25275), "7 h 1 min");
}

}  // namespace
}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
#include "base/large_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "base/thread_pool.h"

namespace fastvlm {
namespace {

constexpr int64_t kMb = int64_t{1} << 20;

uintptr_t address(const std::shared_ptr<std::byte[]>& block) {
  return reinterpret_cast<uintptr_t>(block.get());
}

TEST(LargePages, BlocksAreAlignedAndApart) {
  std::vector<std::shared_ptr<std::byte[]>> blocks;
  const std::vector<int64_t> sizes = {1, 63, 3 * kMb + 1, 64, 15 * kMb, 15 * kMb, 40 * kMb, 5};
  for (size_t i = 0; i < sizes.size(); ++i) {
    blocks.push_back(large_page_block(sizes[i]));
    ASSERT_EQ(address(blocks.back()) % 64, 0U);
    std::memset(blocks.back().get(), static_cast<int>(i), static_cast<size_t>(sizes[i]));
  }
  for (size_t i = 0; i < sizes.size(); ++i) {
    EXPECT_EQ(blocks[i][0], static_cast<std::byte>(i));
    EXPECT_EQ(blocks[i][sizes[i] - 1], static_cast<std::byte>(i));
  }
}

TEST(LargePages, ABlockOutlivesThoseBeforeAndBehindIt) {
  auto first = large_page_block(10 * kMb);
  auto second = large_page_block(10 * kMb);
  auto third = large_page_block(20 * kMb);
  std::memset(second.get(), 7, 10 * kMb);
  first.reset();
  third.reset();
  const auto another = large_page_block(14 * kMb);
  std::memset(another.get(), 8, 14 * kMb);
  EXPECT_EQ(second[0], std::byte{7});
  EXPECT_EQ(second[10 * kMb - 1], std::byte{7});
}

// The next model comes to lie where the last one was.
TEST(LargePages, ARegionWithoutBlocksIsUsedAgain) {
  auto first = large_page_block(12 * kMb);
  auto second = large_page_block(12 * kMb);
  const uintptr_t last = address(second);
  first.reset();
  second.reset();
  first = large_page_block(12 * kMb);
  second = large_page_block(12 * kMb);
  EXPECT_TRUE(address(first) == last || address(second) == last);
}

TEST(LargePages, NothingStaysMapped) {
  constexpr int64_t kSize = 2 * kMb + 1;
  auto* const data = static_cast<std::byte*>(map_memory(kSize));
  unsigned char resident = 0;
  ASSERT_EQ(mincore(data, 1, &resident), 0);
  unmap_memory(data, kSize);
  const int64_t page = sysconf(_SC_PAGESIZE);
  for (int64_t at = 0; at < 2 * kMb + (int64_t{1} << 16); at += page) {  // what is mapped for it
    ASSERT_NE(mincore(data + at, 1, &resident), 0) << at;
  }
}

TEST(LargePages, AnyThreadMayTakeAndGiveBack) {
  ThreadPool pool(4);
  pool.parallel_for(400, 1, [](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t size = 1 + i * 7919 % (3 * kMb);
      const auto block = large_page_block(size);
      block[0] = block[size - 1] = static_cast<std::byte>(i);
      ASSERT_EQ(block[0], static_cast<std::byte>(i));
    }
  });
}

TEST(LargePages, MappedMemoryIsZeroAndAligned) {
  for (const int64_t size : {int64_t{1}, int64_t{100'000}, 2 * kMb, 5 * kMb + 12'345}) {
    auto* const data = static_cast<std::byte*>(map_memory(size));
    const int64_t alignment = size < 2 * kMb ? 4096 : 2 * kMb;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % static_cast<uintptr_t>(alignment), 0U);
    EXPECT_EQ(data[size - 1], std::byte{0});
    data[size - 1] = std::byte{1};
    unmap_memory(data, size);
  }
}

}  // namespace
}  // namespace fastvlm

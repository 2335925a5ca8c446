// SPDX-License-Identifier: Apache-2.0
// Event files: checksums against published values, and records against a reader of their own.
#include "formats/event_file.h"

#include <gtest/gtest.h>

#include "support/event_reader.h"

namespace fastvlm {
namespace {

uint32_t crc_of(const std::string& bytes) {
  return crc32c(std::as_bytes(std::span(bytes)));
}

TEST(EventFile, ChecksumsOfRfc3720) {
  EXPECT_EQ(crc_of(""), 0U);
  EXPECT_EQ(crc_of("123456789"), 0xE3069283U);
  EXPECT_EQ(crc_of(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(crc_of(std::string(32, '\xFF')), 0x62A8AB43U);
  std::string up;
  for (char i = 0; i < 32; ++i) up += i;
  EXPECT_EQ(crc_of(up), 0x46DD794EU);
  EXPECT_EQ(crc_of({up.rbegin(), up.rend()}), 0x113FDB5CU);
}

TEST(EventFile, ARecordByteByByte) {
  // 24 bytes of message: 09 wall_time, 1A 0D "brain.Event:2".
  const std::string start = event_file_start(1);
  ASSERT_EQ(start.size(), 8 + 4 + 24 + 4U);
  EXPECT_EQ(start.substr(0, 8), std::string("\x18\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(start.substr(12, 11), std::string("\x09\0\0\0\0\0\0\xF0\x3F\x1A\x0D", 11));
  EXPECT_EQ(start.substr(23, 13), "brain.Event:2");
}

TEST(EventFile, AnotherReaderFindsWhatWasWritten) {
  const std::string file = event_file_start(1.5) +
                           scalar_event(1, 2.25, {{"loss", 0.5F}, {"rate", 2e-4F}}) +
                           scalar_event(300, 3, {{std::string(200, 'x'), -1.0F}});
  const auto events = test::read_events(file);
  ASSERT_TRUE(events.has_value());
  ASSERT_EQ(events->size(), 3U);
  EXPECT_EQ((*events)[0].version, "brain.Event:2");
  EXPECT_EQ((*events)[0].time, 1.5);
  EXPECT_EQ((*events)[1].step, 1);
  EXPECT_EQ((*events)[1].time, 2.25);
  EXPECT_EQ((*events)[1].scalars, (std::map<std::string, float>{{"loss", 0.5F}, {"rate", 2e-4F}}));
  EXPECT_EQ((*events)[2].step, 300);
  EXPECT_EQ((*events)[2].scalars.at(std::string(200, 'x')), -1.0F);
  for (size_t i = 0; i < file.size(); ++i) {
    std::string damaged = file;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(test::read_events(damaged).has_value()) << i;
  }
}

}  // namespace
}  // namespace fastvlm

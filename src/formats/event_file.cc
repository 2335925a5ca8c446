// SPDX-License-Identifier: Apache-2.0
#include "formats/event_file.h"

#include <array>
#include <bit>

namespace fastvlm {
namespace {

// Tags of fields: number << 3 | wire type.
constexpr char kWallTime = 1 << 3 | 1;     // Event.wall_time, double
constexpr char kStep = 2 << 3 | 0;         // Event.step, int64
constexpr char kFileVersion = 3 << 3 | 2;  // Event.file_version, string
constexpr char kSummary = 5 << 3 | 2;      // Event.summary, message
constexpr char kValue = 1 << 3 | 2;        // Summary.value, repeated message
constexpr char kTag = 1 << 3 | 2;          // Summary.Value.tag, string
constexpr char kSimpleValue = 2 << 3 | 5;  // Summary.Value.simple_value, float

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1U ? 0x82F63B78U : 0U);
    table[i] = value;
  }
  return table;
}();

// Little-endian, whatever the machine.
template <typename Unsigned>
std::string fixed_bytes(Unsigned value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof value; ++i) bytes += static_cast<char>(value >> 8 * i & 0xFFU);
  return bytes;
}

std::string varint(uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80U);
  return bytes + static_cast<char>(value);
}

std::string field(char key, std::string_view bytes) {
  return key + varint(bytes.size()).append(bytes);
}

std::string time_field(double time) {
  return kWallTime + fixed_bytes(std::bit_cast<uint64_t>(time));
}

// A CRC of data that holds CRCs itself is weak, so it is turned and moved.
std::string masked_crc(std::string_view bytes) {
  return fixed_bytes(std::rotr(crc32c(std::as_bytes(std::span(bytes))), 15) + 0xA282EAD8U);
}

std::string record(const std::string& message) {
  const std::string length = fixed_bytes(uint64_t{message.size()});
  return length + masked_crc(length) + message + masked_crc(message);
}

}  // namespace

uint32_t crc32c(std::span<const std::byte> bytes) {
  uint32_t crc = ~0U;
  for (const std::byte byte : bytes) {
    crc = crc >> 8 ^ kCrcTable[(crc ^ std::to_integer<uint32_t>(byte)) & 0xFFU];
  }
  return ~crc;
}

std::string event_file_start(double time) {
  return record(time_field(time) + field(kFileVersion, "brain.Event:2"));
}

std::string scalar_event(int64_t step, double time,
                         const std::vector<std::pair<std::string_view, float>>& scalars) {
  std::string summary;
  for (const auto& [name, number] : scalars) {
    const std::string value = kSimpleValue + fixed_bytes(std::bit_cast<uint32_t>(number));
    summary += field(kValue, field(kTag, name) + value);
  }
  return record(time_field(time) + kStep + varint(static_cast<uint64_t>(step)) +
                field(kSummary, summary));
}

}  // namespace fastvlm

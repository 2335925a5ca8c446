// SPDX-License-Identifier: Apache-2.0
// Reads event files bit by bit, apart from the code that writes them.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fastvlm::test {

struct ReadEvent {
  double time = 0;
  int64_t step = 0;
  std::string version;
  std::map<std::string, float> scalars;
};

namespace detail {

// The remainder of the division by Castagnoli's polynomial, bit after bit.
inline uint32_t plain_crc(std::string_view bytes) {
  uint32_t crc = 0xFFFFFFFF;
  for (const char byte : bytes) {
    crc ^= static_cast<unsigned char>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78 : crc >> 1;
  }
  return crc ^ 0xFFFFFFFF;
}

template <typename T>
T number(std::string_view& bytes) {
  T value{};
  std::memcpy(&value, bytes.data(), sizeof value);  // tests run on little-endian machines
  bytes.remove_prefix(sizeof value);
  return value;
}

inline uint64_t varint(std::string_view& bytes) {
  uint64_t value = 0;
  for (unsigned shift = 0;; shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.at(0));
    bytes.remove_prefix(1);
    value |= uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
}

inline std::string_view part(std::string_view& bytes) {
  const uint64_t size = varint(bytes);
  const std::string_view taken = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return taken;
}

inline void read_value(std::string_view value, ReadEvent& event) {
  std::string tag;
  float number_there = 0;
  while (!value.empty()) {
    const uint64_t key = varint(value);
    if (key == 10) tag = part(value);
    if (key == 21) number_there = number<float>(value);
  }
  event.scalars[tag] = number_there;
}

}  // namespace detail

// Nothing where a length, a checksum or a message is damaged.
inline std::optional<std::vector<ReadEvent>> read_events(std::string_view file) {
  std::vector<ReadEvent> events;
  const auto fits = [](std::string_view bytes, uint32_t masked) {
    const uint32_t crc = detail::plain_crc(bytes);
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8U == masked;
  };
  while (!file.empty()) {
    if (file.size() < 12) return std::nullopt;
    const std::string_view length_bytes = file.substr(0, 8);
    const auto length = detail::number<uint64_t>(file);
    if (!fits(length_bytes, detail::number<uint32_t>(file))) return std::nullopt;
    if (file.size() < length + 4) return std::nullopt;
    std::string_view message = file.substr(0, length);
    file.remove_prefix(length);
    if (!fits(message, detail::number<uint32_t>(file))) return std::nullopt;
    ReadEvent& event = events.emplace_back();
    while (!message.empty()) {
      const uint64_t key = detail::varint(message);
      if (key == 9) {
        event.time = detail::number<double>(message);
      } else if (key == 16) {
        event.step = static_cast<int64_t>(detail::varint(message));
      } else if (key == 26) {
        event.version = detail::part(message);
      } else if (key == 42) {
        std::string_view summary = detail::part(message);
        while (!summary.empty()) {
          if (detail::varint(summary) != 10) return std::nullopt;
          detail::read_value(detail::part(summary), event);
        }
      } else {
        return std::nullopt;
      }
    }
  }
  return events;
}

}  // namespace fastvlm::test

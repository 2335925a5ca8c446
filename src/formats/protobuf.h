// SPDX-License-Identifier: Apache-2.0
// The wire format of protocol buffers, as much of it as reading needs. Internal to formats/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/half.h"

namespace fastvlm {

// One field of a message: a number (varint or fixed), or the bytes of a string, message or packed
// list.
struct ProtoField {
  uint32_t id = 0;
  bool bytes_follow = false;
  uint64_t number = 0;
  std::span<const std::byte> bytes;

  std::string_view text() const {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
};

// Goes through a message field by field:
//   for (ProtoReader reader(bytes); reader.next(field);) …; and then reader.damaged() tells why it
//   ended. Groups (deprecated long before ONNX) count as damage.
class ProtoReader {
 public:
  explicit ProtoReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  bool damaged() const { return damaged_; }
  bool at_end() const { return rest_.empty(); }

  bool next(ProtoField& field) {
    uint64_t key = 0;
    if (damaged_ || rest_.empty() || !varint(key)) return false;
    field = {static_cast<uint32_t>(key >> 3), false, 0, {}};
    if (key >> 3 == 0 || key >> 32 != 0) return fail();
    switch (key & 7U) {
      case 0:
        return varint(field.number);
      case 1:
        return fixed<uint64_t>(field.number);
      case 5:
        return fixed<uint32_t>(field.number);
      case 2: {
        uint64_t length = 0;
        if (!varint(length)) return false;
        if (length > rest_.size()) return fail();
        field.bytes_follow = true;
        field.bytes = rest_.first(length);
        rest_ = rest_.subspan(length);
        return true;
      }
      default:
        return fail();
    }
  }

  // Seven bits a byte, the lowest first; of ten bytes at most.
  bool varint(uint64_t& value) {
    value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (rest_.empty()) return fail();
      const auto byte = std::to_integer<uint64_t>(rest_.front());
      rest_ = rest_.subspan(1);
      if (shift < 64) value |= (byte & 0x7FU) << shift;
      if ((byte & 0x80U) == 0) return true;
    }
    return fail();
  }

 private:
  bool fail() {
    damaged_ = true;
    return false;
  }

  template <typename T>
  bool fixed(uint64_t& value) {
    if (rest_.size() < sizeof(T)) return fail();
    value = load_unaligned<T>(rest_.data());
    rest_ = rest_.subspan(sizeof(T));
    return true;
  }

  std::span<const std::byte> rest_;
  bool damaged_ = false;
};

}  // namespace fastvlm

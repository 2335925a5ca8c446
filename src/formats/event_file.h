// SPDX-License-Identifier: Apache-2.0
// Event files, which TensorBoard shows as curves: TFRecords (a length and bytes, each with a masked
// CRC-32C) of tensorflow.Event messages. Written from their published formats, as much as scalars
// need: https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details and
// tensorflow/core/util/event.proto.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fastvlm {

// The CRC of Castagnoli's polynomial, as iSCSI (RFC 3720) has it.
uint32_t crc32c(std::span<const std::byte> bytes);

// What every event file begins with. `time` is in seconds since 1970.
std::string event_file_start(double time);

// The record of one step: names and values.
std::string scalar_event(int64_t step, double time,
                         const std::vector<std::pair<std::string_view, float>>& scalars);

}  // namespace fastvlm

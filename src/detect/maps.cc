// SPDX-License-Identifier: Apache-2.0
#include "detect/maps.h"

#include <algorithm>
#include <iterator>

namespace fastvlm {
namespace {

// Of a piece that is asked of the system, whose pages take memory only once they are used: enough
// for all maps of a small network at 640 x 640, so that nothing is lost between pieces.
constexpr int64_t kLeastPiece = int64_t{32} << 20;

int64_t whole_lines(int64_t bytes) {
  constexpr auto kLine = static_cast<int64_t>(kAlignment);
  return (bytes + kLine - 1) / kLine * kLine;
}

}  // namespace

// The smallest that fits: what was never used, the largest of all, is left alone for longest.
std::map<std::byte*, int64_t>::iterator MapStore::smallest_gap(int64_t bytes) {
  auto best = gaps_.end();
  for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap) {
    if (gap->second < bytes) continue;
    if (best == gaps_.end() || gap->second < best->second) best = gap;
  }
  return best;
}

std::byte* MapStore::take(int64_t bytes) {
  bytes = whole_lines(bytes);
  auto gap = smallest_gap(bytes);
  if (gap == gaps_.end()) {
    const int64_t piece = std::max(bytes, kLeastPiece);
    pieces_.push_back(aligned_bytes(piece));
    gap = gaps_.emplace(pieces_.back().get(), piece).first;
  }
  const auto [data, size] = *gap;
  gaps_.erase(gap);
  if (size > bytes) gaps_.emplace(data + bytes, size - bytes);
  taken_ += bytes;
  most_ = std::max(most_, taken_);
  return data;
}

void MapStore::give_back(std::byte* data, int64_t bytes) {
  bytes = whole_lines(bytes);
  taken_ -= bytes;
  auto gap = gaps_.emplace(data, bytes).first;
  const auto next = std::next(gap);
  if (next != gaps_.end() && next->first == data + bytes) {
    gap->second += next->second;
    gaps_.erase(next);
  }
  if (gap == gaps_.begin()) return;
  const auto before = std::prev(gap);
  if (before->first + before->second == data) {
    before->second += gap->second;
    gaps_.erase(gap);
  }
}

OwnedMap::OwnedMap(MapStore& store, int64_t height, int64_t width, int64_t channels)
    : store_(&store), map_{nullptr, height, width, channels, channels} {
  map_.data = reinterpret_cast<float*>(store.take(bytes()));
}

void OwnedMap::give_back() {
  if (map_.data != nullptr) store_->give_back(reinterpret_cast<std::byte*>(map_.data), bytes());
  map_ = {};
}

}  // namespace fastvlm

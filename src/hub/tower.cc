// SPDX-License-Identifier: Apache-2.0
#include "hub/tower.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "hub/part_file.h"

namespace fastvlm {
namespace {

using nlohmann::json;

constexpr uint64_t kHeaderLimit = uint64_t{100} << 20;
static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

struct RemoteTensor {
  std::string name;
  json entry;  // dtype and shape, as in the source's header
  size_t shard = 0;
  uint64_t first = 0;  // in the remote file
  uint64_t bytes = 0;
};

Status no_ranges(const std::string& url) {
  return error(Code::kUnsupported, cat(url, ": the server does not answer range requests"),
               "pull the whole model that has the tower, and name it with --vision-tower");
}

// Exactly the bytes [first, first + bytes) of a remote file, piece by piece.
Status get_range(const HttpClient& client, FetchRequest request, uint64_t first, uint64_t bytes,
                 const HttpClient::OnBytes& on_bytes) {
  request.range = HttpRange{first, first + bytes - 1};
  uint64_t left = bytes;
  const auto on_answer = [&](const FetchAnswer& answer) {
    return answer.status == 206 ? Status{} : no_ranges(request.url);
  };
  const auto counted = [&](std::span<const std::byte> part) -> Status {
    if (part.size() > left) return no_ranges(request.url);
    left -= part.size();
    return on_bytes(part);
  };
  const auto answer = client.get(request, on_answer, counted);
  if (!answer.ok()) return answer.status();
  if (left == 0) return {};
  return error(Code::kIo, cat(request.url, ": ended ", left, " bytes early"),
               "run the same command again");
}

Result<std::string> get_range_text(const HttpClient& client, const FetchRequest& request,
                                   uint64_t first, uint64_t bytes) {
  std::string text;
  FASTVLM_RETURN_IF_ERROR(
      get_range(client, request, first, bytes, [&](std::span<const std::byte> part) -> Status {
        text.append(reinterpret_cast<const char*>(part.data()), part.size());
        return {};
      }));
  return text;
}

Status bad_header(const std::string& url, const std::string& what) {
  return error(Code::kInvalid, cat(url, ": not a safetensors file: ", what), "check the source");
}

// Adds the tower's tensors of one remote file to `tensors`.
Status read_shard(const HttpClient& client, const FetchRequest& request, size_t shard,
                  std::vector<RemoteTensor>& tensors) {
  FASTVLM_ASSIGN(const std::string length, get_range_text(client, request, 0, 8));
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, length.data(), sizeof header_bytes);
  if (header_bytes < 2 || header_bytes > kHeaderLimit)
    return bad_header(request.url, cat("header of ", header_bytes, " bytes"));
  FASTVLM_ASSIGN(const std::string text, get_range_text(client, request, 8, header_bytes));
  const json header = json::parse(text, nullptr, false);
  if (!header.is_object()) return bad_header(request.url, "its header is not a JSON object");
  for (const auto& [name, entry] : header.items()) {
    if (name.find("vision_tower") == std::string::npos) continue;
    const auto offsets = entry.is_object() ? entry.find("data_offsets") : entry.end();
    if (!entry.is_object() || offsets == entry.end() || !offsets->is_array() ||
        offsets->size() != 2 || !(*offsets)[0].is_number_unsigned() ||
        !(*offsets)[1].is_number_unsigned()) {
      return bad_header(request.url, cat("tensor `", name, "` has no data_offsets"));
    }
    const auto begin = (*offsets)[0].get<uint64_t>();
    const auto end = (*offsets)[1].get<uint64_t>();
    if (end < begin || end > (uint64_t{1} << 40))
      return bad_header(request.url, cat("tensor `", name, "` ends before it begins"));
    json kept = entry;
    kept.erase("data_offsets");
    tensors.push_back({name, std::move(kept), shard, 8 + header_bytes + begin, end - begin});
  }
  return {};
}

// The beginning of the local file: header length and header, padded so that the data is aligned to
// 8 bytes.
std::string local_header(const std::vector<RemoteTensor>& tensors) {
  json header = json::object();
  uint64_t at = 0;
  for (const RemoteTensor& tensor : tensors) {
    json entry = tensor.entry;
    entry["data_offsets"] = {at, at + tensor.bytes};
    header[tensor.name] = std::move(entry);
    at += tensor.bytes;
  }
  std::string text = header.dump(-1, ' ', false, json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + text;
}

}  // namespace

Result<PulledFile> fetch_tower(const HttpClient& client, const std::vector<FetchRequest>& shards,
                               const std::filesystem::path& path, const OnProgress& on_progress) {
  std::vector<RemoteTensor> tensors;
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    FASTVLM_RETURN_IF_ERROR(read_shard(client, shards[shard], shard, tensors));
  }
  if (tensors.empty()) {
    return error(
        Code::kNotFound,
        cat(shards.empty() ? "the repository" : shards.front().url, ": holds no vision tower"),
        "name another source of the tower");
  }
  std::sort(tensors.begin(), tensors.end(), [](const RemoteTensor& a, const RemoteTensor& b) {
    return std::pair(a.shard, a.first) < std::pair(b.shard, b.first);
  });
  const std::string header = local_header(tensors);
  const auto header_bytes = std::as_bytes(std::span(header));
  uint64_t total = header.size();
  for (const RemoteTensor& tensor : tensors) total += tensor.bytes;
  FASTVLM_RETURN_IF_ERROR(check_space(path.parent_path(), total));

  PartFile part(path);
  FASTVLM_RETURN_IF_ERROR(part.open());
  if (!part.starts_with(header_bytes) || part.bytes() > total) {
    FASTVLM_RETURN_IF_ERROR(part.restart());
    FASTVLM_RETURN_IF_ERROR(part.append(header_bytes));
  }
  const std::string name = path.filename().string();
  const auto append = [&](std::span<const std::byte> piece) {
    Status status = part.append(piece);
    if (status.ok() && on_progress) on_progress(name, part.bytes(), total);
    return status;
  };
  uint64_t at = header.size();  // where the next tensor begins in the local file
  for (size_t i = 0; i < tensors.size();) {
    // Neighbours in the remote file come in one request.
    const RemoteTensor& front = tensors[i];
    uint64_t bytes = 0;
    for (; i < tensors.size() && tensors[i].shard == front.shard &&
           tensors[i].first == front.first + bytes;
         ++i) {
      bytes += tensors[i].bytes;
    }
    const uint64_t have = std::min(part.bytes() - at, bytes);
    if (have < bytes) {
      FASTVLM_RETURN_IF_ERROR(
          get_range(client, shards[front.shard], front.first + have, bytes - have, append));
    }
    at += bytes;
  }
  PulledFile file{name, part.bytes(), part.finish(), false};
  FASTVLM_RETURN_IF_ERROR(part.commit());
  return file;
}

}  // namespace fastvlm

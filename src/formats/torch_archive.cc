// SPDX-License-Identifier: Apache-2.0
#include "formats/torch_archive.h"

#include <zip.h>

#include <memory>
#include <utility>

#include "base/strings.h"
#include "formats/hints.h"

namespace fastvlm {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 30;  // of all storages together
constexpr uint64_t kMostPickleBytes = uint64_t{1} << 26;
// Deflate reaches 1032:1, weights less than 2:1; small storages of zeros may do better than that.
constexpr uint64_t kMostRatio = 100;
constexpr uint64_t kSmall = uint64_t{1} << 20;  // bytes, whatever the ratio

using Source = std::unique_ptr<zip_source_t, void (*)(zip_source_t*)>;
using Archive = std::unique_ptr<zip_t, void (*)(zip_t*)>;
using Entry = std::unique_ptr<zip_file_t, int (*)(zip_file_t*)>;

class ArchiveReader {
 public:
  static Result<ArchiveReader> open(std::span<const std::byte> file, std::string_view label) {
    zip_error_t reason;
    zip_error_init(&reason);
    const auto refuse = [&] {
      Status status = error(Code::kInvalid,
                            cat(label, ": not a readable zip archive (PyTorch's format): ",
                                zip_error_strerror(&reason)),
                            kDownloadAgain);
      zip_error_fini(&reason);
      return status;
    };
    Source source(zip_source_buffer_create(file.data(), file.size(), 0, &reason), zip_source_free);
    if (!source) return refuse();
    Archive archive(zip_open_from_source(source.get(), ZIP_RDONLY, &reason), zip_discard);
    if (!archive) return refuse();
    (void)source.release();  // the archive's now
    zip_error_fini(&reason);
    ArchiveReader reader(std::move(archive), label);
    FASTVLM_RETURN_IF_ERROR(reader.find_root());
    return reader;
  }

  // An entry below the root. Errors name it.
  Result<std::vector<std::byte>> read(const std::string& name, uint64_t most) const {
    const std::string full = root_ + name;
    const auto wrong = [&](Code code, const std::string& what) {
      return error(code, cat(label_, ": entry `", printable(full), "` ", what), kDownloadAgain);
    };
    const zip_int64_t found = zip_name_locate(archive_.get(), full.c_str(), 0);
    if (found < 0) return wrong(Code::kInvalid, "is missing");
    const auto index = static_cast<zip_uint64_t>(found);
    zip_stat_t stat;
    constexpr zip_uint64_t kNeeded = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE;
    if (zip_stat_index(archive_.get(), index, 0, &stat) != 0 || (stat.valid & kNeeded) != kNeeded) {
      return wrong(Code::kInvalid, "has no size");
    }
    if (stat.size > most) {
      return wrong(Code::kLimit, cat("declares ", stat.size, " bytes, at most ", most));
    }
    if (stat.size > kSmall && stat.size / kMostRatio > stat.comp_size) {
      return wrong(Code::kLimit,
                   cat("unpacks ", stat.comp_size, " bytes to ", stat.size, ", as no weights do"));
    }
    const Entry entry(zip_fopen_index(archive_.get(), index, 0), zip_fclose);
    if (!entry) return wrong(Code::kInvalid, cat("is unreadable: ", zip_strerror(archive_.get())));
    std::vector<std::byte> bytes(stat.size);
    const zip_int64_t count = zip_fread(entry.get(), bytes.data(), bytes.size());
    // One more byte is asked for: libzip compares the checksum at the end.
    std::byte behind{};
    const zip_int64_t rest = count < 0 ? count : zip_fread(entry.get(), &behind, 1);
    if (count != static_cast<zip_int64_t>(bytes.size()) || rest != 0) {
      return wrong(Code::kInvalid,
                   count < 0 || rest < 0
                       ? cat("is damaged: ", zip_file_strerror(entry.get()))
                       : cat("holds other than the ", stat.size, " bytes declared"));
    }
    return bytes;
  }

  bool has(const std::string& name) const {
    return zip_name_locate(archive_.get(), (root_ + name).c_str(), 0) >= 0;
  }

 private:
  ArchiveReader(Archive archive, std::string_view label)
      : archive_(std::move(archive)), label_(label) {}

  // torch.save names the root after the file.
  Status find_root() {
    constexpr std::string_view kPickle = "data.pkl";
    const zip_int64_t entries = zip_get_num_entries(archive_.get(), 0);
    for (zip_int64_t i = 0; i < entries; ++i) {
      const char* name = zip_get_name(archive_.get(), static_cast<zip_uint64_t>(i), 0);
      const std::string_view full = name == nullptr ? "" : name;
      if (!full.ends_with(kPickle)) continue;
      const std::string_view root = full.substr(0, full.size() - kPickle.size());
      if (root.empty() || root.find('/') == root.size() - 1) {
        root_ = root;
        return {};
      }
    }
    return error(Code::kInvalid,
                 cat(label_, ": expected a PyTorch archive with `data.pkl`, found none in ",
                     entries, " entries"),
                 "give a detector that torch.save wrote");
  }

  Archive archive_;
  std::string label_;
  std::string root_;  // ends in '/', or is empty
};

}  // namespace

Result<DetectorWeights> parse_torch_archive(std::span<const std::byte> file,
                                            std::string_view label) {
  FASTVLM_ASSIGN(const ArchiveReader archive, ArchiveReader::open(file, label));
  if (archive.has("constants.pkl")) {
    return error(Code::kUnsupported, cat(label, ": is a TorchScript program, not a saved model"),
                 "give the .pt file that it was exported from, or an .onnx export");
  }
  if (archive.has("byteorder")) {
    FASTVLM_ASSIGN(const auto order, archive.read("byteorder", 16));
    const std::string_view text(reinterpret_cast<const char*>(order.data()), order.size());
    if (text != "little") {
      return error(Code::kUnsupported,
                   cat(label, ": byte order is `", printable(text), "`, expected `little`"),
                   kOtherDetectorFile);
    }
  }
  FASTVLM_ASSIGN(const auto pickle, archive.read("data.pkl", kMostPickleBytes));
  uint64_t total = 0;
  const StorageReader storages = [&](const std::string& key,
                                     uint64_t bytes) -> Result<std::vector<std::byte>> {
    if (bytes > kMostBytes - total) {
      return error(Code::kLimit, cat(label, ": holds more than 1 GiB of tensors"),
                   kOtherDetectorFile);
    }
    total += bytes;
    FASTVLM_ASSIGN(auto storage, archive.read("data/" + key, kMostBytes));
    if (storage.size() != bytes) {
      return error(Code::kInvalid,
                   cat(label, ": storage `", printable(key), "` has ", storage.size(),
                       " bytes, the pickle says ", bytes),
                   kDownloadAgain);
    }
    return storage;
  };
  return read_module_tree(pickle, storages, label);
}

}  // namespace fastvlm

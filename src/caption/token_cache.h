// SPDX-License-Identifier: Apache-2.0
// What the tower made of pictures that were seen before, by content: a second prompt on the same
// picture then costs its text only. In memory, and where a folder is given also on disk, for later
// runs and for other processes that use it at the same time. Goals: a caption is the same with and
// without; the least recently used goes first; a file that is damaged is as good as none and is
// written anew; trouble with the folder ends nothing. Non-goal: knowing what a key stands for.
#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "vision/tokens.h"

namespace fastvlm {

struct TokenCacheOptions {
  int64_t memory_bytes = int64_t{8} << 20;
  std::filesystem::path folder;  // empty: none
  int64_t folder_bytes = 1'000'000'000;
};

// Any number of threads may use one.
class TokenCache {
 public:
  explicit TokenCache(TokenCacheOptions options) : options_(std::move(options)) {}

  // Makes the folder. kIo when it cannot be used.
  Status prepare();

  bool on_disk() const { return !options_.folder.empty(); }
  // Else a picture need not be given a key.
  bool keeps_any() const { return options_.memory_bytes > 0 || on_disk(); }

  // `key` is a SHA-256 in hexadecimal. Tokens of another shape are as good as none.
  std::optional<Tokens> find(const std::string& key, int64_t count, int64_t width);
  void put(const std::string& key, const Tokens& tokens);

  // The first trouble with the folder: it may be full, or gone.
  Status trouble() const;

 private:
  using Entry = std::pair<std::string, Tokens>;

  std::optional<Tokens> in_memory(const std::string& key);
  void keep_in_memory(const std::string& key, const Tokens& tokens);
  std::optional<Tokens> in_folder(const std::string& key, int64_t count, int64_t width) const;
  Status write(const std::string& key, const Tokens& tokens);
  std::filesystem::path file_of(const std::string& key) const;
  Status make_room();

  TokenCacheOptions options_;
  mutable std::mutex mutex_;
  std::list<Entry> entries_;  // the latest first
  std::map<std::string, std::list<Entry>::iterator> by_key_;
  int64_t bytes_ = 0;          // of entries_
  int64_t folder_bytes_ = -1;  // when last looked at and what was written since; -1: not known
  int writes_until_look_ = 0;  // others write, too
  Status trouble_;
};

}  // namespace fastvlm

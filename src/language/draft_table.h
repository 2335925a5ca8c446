// SPDX-License-Identifier: Apache-2.0
// What usually follows a few ids, learnt from texts such as captions: one source of drafts
// (drafter.h). A wrong guess costs a little time and never changes an answer, so the table is small
// and forgets what is rare. Non-goals: being a language model, knowing which texts are good.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace fastvlm {

struct DraftGuess {
  int32_t id = 0;
  float chance = 0;  // that it is right, 0 .. 1
};

class DraftTable {
 public:
  static constexpr size_t kMostContext = 4;                // ids that a guess depends on
  static constexpr size_t kMostEntries = size_t{1} << 20;  // of a file

  struct Learning {
    size_t entries = 16384;  // the most useful ones are kept
    int64_t least = 4;       // times that a context has to be seen
  };

  DraftTable() = default;  // knows nothing

  // Of texts as ids, none negative. The same texts give the same table.
  static DraftTable learn(const std::vector<std::vector<int32_t>>& texts, const Learning& learning);

  // A safetensors file (docs/FORMATS.md). `vocabulary` says which tokenizer the ids belong to; the
  // reader compares it.
  Status save(const std::filesystem::path& path, const std::string& vocabulary) const;
  // kInvalid when the file is none of save()'s, or of another vocabulary.
  static Result<DraftTable> load(const std::filesystem::path& path, const std::string& vocabulary);

  size_t size() const { return entries_.size(); }
  // What follows `ids`, by the longest context that is known.
  std::optional<DraftGuess> next(std::span<const int32_t> ids) const;

 private:
  using Context = std::array<int32_t, kMostContext>;  // the latest id last; -1 in front of fewer
  struct Entry {
    Context context;
    int32_t next;
    int32_t permille;  // chance
  };

  static Context context_of(std::span<const int32_t> ids, size_t length);
  static Context without_first(Context context);
  const Entry* find(const Context& context) const;

  std::vector<Entry> entries_;  // in the order of their contexts
};

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "language/draft_table.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <utility>

#include "base/strings.h"
#include "formats/safetensors.h"

namespace fastvlm {
namespace {

constexpr const char* kTensor = "drafts";
constexpr const char* kFormat = "fastvlm drafts 1";
constexpr int32_t kNone = -1;
constexpr int64_t kColumns = static_cast<int64_t>(DraftTable::kMostContext) + 2;

// A longer context is looked at only where the shorter one leaves this much open.
constexpr double kSure = 0.97;
// The least by which a chance must differ from that of the shorter context to be worth an entry.
constexpr double kNews = 0.1;

Status no_drafts(const std::filesystem::path& path, std::string_view expected,
                 const std::string& found) {
  return error(Code::kInvalid,
               cat(path.string(), ": drafts: expected ", expected, ", found ", found),
               "make the file anew with `fastvlm dev learn-drafts`, or use none (--drafts none)");
}

}  // namespace

DraftTable::Context DraftTable::context_of(std::span<const int32_t> ids, size_t length) {
  Context context;
  context.fill(kNone);
  std::copy(ids.end() - static_cast<std::ptrdiff_t>(length), ids.end(),
            context.end() - static_cast<std::ptrdiff_t>(length));
  return context;
}

DraftTable::Context DraftTable::without_first(Context context) {
  *std::find_if(context.begin(), context.end(), [](int32_t id) { return id != kNone; }) = kNone;
  return context;
}

// Context by context, the short ones first: `known` holds what they say, `unsure` those that a
// longer one may say better.
DraftTable DraftTable::learn(const std::vector<std::vector<int32_t>>& texts,
                             const Learning& learning) {
  struct Seen {
    Context context;
    int32_t next;
  };
  struct Known {
    int32_t next;
    double chance;
  };
  struct Candidate {
    Entry entry;
    double use;  // guesses that it makes better
  };
  std::map<Context, Known> known;
  std::vector<Candidate> candidates;
  for (size_t length = 1; length <= kMostContext; ++length) {
    std::vector<Seen> seen;
    for (const std::vector<int32_t>& text : texts) {
      for (size_t at = length; at < text.size(); ++at) {
        const Context context = context_of(std::span(text).first(at), length);
        if (length > 1) {
          const auto shorter = known.find(without_first(context));
          if (shorter == known.end() || shorter->second.chance >= kSure) continue;
        }
        seen.push_back({context, text[at]});
      }
    }
    std::sort(seen.begin(), seen.end(), [](const Seen& a, const Seen& b) {
      return a.context != b.context ? a.context < b.context : a.next < b.next;
    });
    for (size_t begin = 0; begin < seen.size();) {
      size_t end = begin, most = 0;
      int32_t best = 0;
      while (end < seen.size() && seen[end].context == seen[begin].context) {
        const size_t run = end;
        while (end < seen.size() && seen[end].context == seen[run].context &&
               seen[end].next == seen[run].next) {
          ++end;
        }
        if (end - run > most) {
          most = end - run;
          best = seen[run].next;
        }
      }
      const auto total = static_cast<double>(end - begin);
      const Context context = seen[begin].context;
      begin = end;
      if (total < static_cast<double>(learning.least)) continue;
      const double chance = static_cast<double>(most) / (total + 1);
      known[context] = {best, chance};
      double news = chance;
      if (length > 1) {
        const Known& shorter = known.at(without_first(context));
        if (shorter.next == best) news = std::abs(chance - shorter.chance);
      }
      if (news < kNews) continue;
      candidates.push_back(
          {{context, best, static_cast<int32_t>(std::lround(chance * 1000))}, news * total});
    }
  }
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) { return a.use > b.use; });
  if (candidates.size() > learning.entries) candidates.resize(learning.entries);
  DraftTable table;
  for (const Candidate& candidate : candidates) table.entries_.push_back(candidate.entry);
  std::sort(table.entries_.begin(), table.entries_.end(),
            [](const Entry& a, const Entry& b) { return a.context < b.context; });
  return table;
}

Status DraftTable::save(const std::filesystem::path& path, const std::string& vocabulary) const {
  std::vector<int32_t> rows;
  for (const Entry& entry : entries_) {
    rows.insert(rows.end(), entry.context.begin(), entry.context.end());
    rows.insert(rows.end(), {entry.next, entry.permille});
  }
  const TensorToWrite tensor{kTensor,
                             DType::kI32,
                             {static_cast<int64_t>(entries_.size()), kColumns},
                             std::as_bytes(std::span(rows))};
  return write_safetensors(path, {&tensor, 1}, {{"format", kFormat}, {"vocabulary", vocabulary}});
}

Result<DraftTable> DraftTable::load(const std::filesystem::path& path,
                                    const std::string& vocabulary) {
  FASTVLM_ASSIGN(const SafetensorsFile file, SafetensorsFile::open(path));
  const auto said = [&](const char* key) {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string("nothing") : found->second;
  };
  if (said("format") != kFormat) return no_drafts(path, cat("format ", kFormat), said("format"));
  if (said("vocabulary") != vocabulary) {
    return no_drafts(path, "those of this model's tokenizer", "those of another");
  }
  const TensorView* tensor = file.find(kTensor);
  if (tensor == nullptr || tensor->dtype != DType::kI32 || tensor->shape.size() != 2 ||
      tensor->shape[1] != kColumns ||
      tensor->shape[0] > static_cast<int64_t>(DraftTable::kMostEntries)) {
    return no_drafts(path, cat("a table I32 [n, ", kColumns, "]"), "none");
  }
  DraftTable table;
  table.entries_.resize(static_cast<size_t>(tensor->shape[0]));
  for (size_t i = 0; i < table.entries_.size(); ++i) {
    int32_t row[kColumns];
    std::memcpy(row, tensor->bytes.data() + i * sizeof row, sizeof row);
    Entry& entry = table.entries_[i];
    std::copy_n(row, kMostContext, entry.context.begin());
    entry.next = row[kMostContext];
    entry.permille = row[kMostContext + 1];
    const bool ordered = i == 0 || table.entries_[i - 1].context < entry.context;
    if (!ordered || entry.next < 0 || entry.permille < 0 || entry.permille > 1000) {
      return no_drafts(path, "rows in order, each with an id and a chance",
                       cat("row ", i, ", which is not so"));
    }
  }
  return table;
}

const DraftTable::Entry* DraftTable::find(const Context& context) const {
  const auto at = std::lower_bound(
      entries_.begin(), entries_.end(), context,
      [](const Entry& entry, const Context& wanted) { return entry.context < wanted; });
  return at != entries_.end() && at->context == context ? &*at : nullptr;
}

std::optional<DraftGuess> DraftTable::next(std::span<const int32_t> ids) const {
  for (size_t length = std::min(kMostContext, ids.size()); length > 0; --length) {
    const Entry* entry = find(context_of(ids, length));
    if (entry == nullptr) continue;
    return DraftGuess{entry->next, static_cast<float>(entry->permille) / 1000.0F};
  }
  return std::nullopt;
}

}  // namespace fastvlm

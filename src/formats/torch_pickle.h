// SPDX-License-Identifier: Apache-2.0
// Pickles as torch.save writes them, read as data. Goals: the structure of what was saved, and
// nothing of it ever run: a class is a name, an object its name, arguments and state. A pickle that
// would call something other than PyTorch, Ultralytics and a few harmless types is refused by name.
// Non-goals: protocols 0 and 1, values that only code can rebuild. Internal to formats/.
// The opcodes are those of Python's Lib/pickletools.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace fastvlm {

using PickleRef =
    uint32_t;  // a node's place in Pickle::nodes; nodes may refer to each other in circles

enum class PickleKind {
  kNone,
  kBool,    // integer
  kInt,     // integer
  kFloat,   // not kept
  kText,    // text, UTF-8 unless the writer was at fault
  kBytes,   // text
  kTuple,   // items
  kList,    // items; sets too
  kDict,    // items: key, value, key, value, …; OrderedDict and defaultdict too
  kGlobal,  // text: "torch._utils._rebuild_tensor_v2"
  kObject,  // items: what would have made it (a kGlobal), its arguments, its state if it has one
  kPersistent,  // items: the identifier of something outside the pickle
  kOpaque,      // an integer of more than 64 bits
};

struct PickleNode {
  PickleKind kind = PickleKind::kNone;
  int64_t integer = 0;
  std::string text;
  std::vector<PickleRef> items;
};

struct Pickle {
  std::vector<PickleNode> nodes;
  PickleRef root = 0;

  const PickleNode& at(PickleRef ref) const { return nodes[ref]; }
  // The value of a text key of a dict; null when there is none or `dict` is no dict. The last one
  // counts, as in Python.
  const PickleNode* find(const PickleNode& dict, std::string_view key) const;
  // "ultralytics.nn.tasks.DetectionModel" of an object; empty for other nodes.
  std::string_view class_of(const PickleNode& object) const;
};

// Errors, all naming `label`: kInvalid (cut short, damaged), kUnsupported (an opcode that
// torch.save does not write, or a call that is refused), kLimit (more than a million values).
Result<Pickle> parse_pickle(std::span<const std::byte> bytes, std::string_view label);

}  // namespace fastvlm

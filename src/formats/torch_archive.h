// SPDX-License-Identifier: Apache-2.0
// Detectors as PyTorch saves them: a zip archive of `<root>/data.pkl`, which pickles the module
// tree, and `<root>/data/<key>`, the bytes of its tensors. Ultralytics' .pt files hold a dict whose
// `ema` (where it is not None) or `model` is the tree; plain trees and state dicts are read too.
// Nothing of the pickle is run (torch_pickle.h). Internal to formats/.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/detector_weights.h"

namespace fastvlm {

// A whole file held in memory; `label` names it in messages. Errors: kInvalid (damaged, no PyTorch
// archive, a tensor that reaches beyond its storage), kUnsupported (TorchScript, big-endian or
// quantised tensors, calls that torch_pickle.h refuses), kLimit (more than 1 GiB of tensors, or
// entries that unpack to far more than they take).
Result<DetectorWeights> parse_torch_archive(std::span<const std::byte> file,
                                            std::string_view label);

// Gives the `bytes` bytes of the storage `key`.
using StorageReader =
    std::function<Result<std::vector<std::byte>>(const std::string& key, uint64_t bytes)>;

// The part that knows no archive: tensors by their path in the pickled tree.
Result<DetectorWeights> read_module_tree(std::span<const std::byte> pickle,
                                         const StorageReader& storages, std::string_view label);

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// What errors about tokenizer files tell the user to do next.
#pragma once

namespace fastvlm {

inline constexpr char kTakeOriginal[] = "take the tokenizer files from the model's own checkpoint";

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// How products are computed: the choice that a user makes with `--precision` and that a Matrix
// keeps from the moment it is packed.
#pragma once

namespace fastvlm {

enum class Arithmetic {
  kF32,   // the reference path: f32 activations, f32 sums
  kBf16,  // activations and weights rounded to bf16, f32 sums
  kInt8,  // activations rounded to 8 bits as they come, integer sums
};

}  // namespace fastvlm

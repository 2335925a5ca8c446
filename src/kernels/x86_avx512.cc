// SPDX-License-Identifier: Apache-2.0
// The set for x86 with AVX-512 F, BW, DQ and VL. As in x86_avx2.cc, nothing from a header is
// compiled inside the target region.
#include "base/cpu.h"
#include "kernels/half.h"
#include "kernels/kernel_table.h"

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // false alarms in its headers: bug 105593
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#if defined(__clang__)
#pragma clang attribute push(                                                    \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl")
#endif

namespace fastvlm {
namespace {

// The others use functions.inc.
// clang-format off
#include "kernels/vectors_avx512.inc"
#include "kernels/functions.inc"
#include "kernels/depthwise.inc"
#include "kernels/products.inc"
#include "kernels/rows.inc"
// clang-format on

}  // namespace
}  // namespace fastvlm

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace fastvlm {

const KernelTable* avx512_kernels() {
  static constexpr KernelTable kTable{
      "avx512", panel_product, expand,     prepare_vector, vector_product, depthwise,  exponentials,
      maximum,  rms_norm,      layer_norm, affine,         silu_multiply,  scale_gelu, rotate,
  };
  return cpu_features().avx512 ? &kTable : nullptr;
}

}  // namespace fastvlm

#else

namespace fastvlm {

const KernelTable* avx512_kernels() {
  return nullptr;
}

}  // namespace fastvlm

#endif

// SPDX-License-Identifier: Apache-2.0
// The dot products of x86 with AVX-512 VNNI and BF16. As in x86_avx2.cc, nothing from a header is
// compiled inside the target region.
#include "base/cpu.h"
#include "kernels/dot_kernels.h"

#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // false alarms in its headers: bug 105593
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include <algorithm>

#if defined(__clang__)
#pragma clang attribute push(                                                               \
    __attribute__((                                                                         \
        target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16"))), \
    apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16")
#endif

namespace fastvlm {
namespace {

// The others use functions.inc.
// clang-format off
#include "kernels/vectors_avx512.inc"
#include "kernels/functions.inc"
#include "kernels/dot_products.inc"
// clang-format on

}  // namespace
}  // namespace fastvlm

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace fastvlm {

const DotTable* avx512_dot_kernels() {
  static constexpr DotTable kTable{"avx512-vnni-bf16", quantise, round_to_bf16, dot_product};
  return cpu_features().avx512_vnni && cpu_features().avx512_bf16 ? &kTable : nullptr;
}

}  // namespace fastvlm

#else

namespace fastvlm {

const DotTable* avx512_dot_kernels() {
  return nullptr;
}

}  // namespace fastvlm

#endif

// SPDX-License-Identifier: Apache-2.0
// What this machine can do.
#pragma once

#include <cstdint>
#include <string>

namespace fastvlm {

struct CpuFeatures {
  bool avx2_fma = false;  // AVX2, FMA and F16C together
  bool avx_vnni = false;  // dot products of bytes in AVX2's registers
  bool avx512 = false;    // F, BW, DQ, VL
  bool avx512_vnni = false;
  bool avx512_bf16 = false;
  bool fast_bf16 = false;  // its products are faster than those of f32
  bool neon = false;
  bool neon_dotprod = false;
  bool neon_i8mm = false;
};

const CpuFeatures& cpu_features();
std::string cpu_model_name();  // "AMD EPYC 9654", or the architecture when the system does not say
int cpu_count();               // processors that this process may use, by affinity and quota
uint64_t memory_total();       // bytes
uint64_t resident_bytes();     // of this process now; 0 where the system does not say
uint64_t peak_resident_bytes();  // of this process so far

}  // namespace fastvlm

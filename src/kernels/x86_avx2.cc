// SPDX-License-Identifier: Apache-2.0
#include "kernels/kernel_table.h"

namespace fastvlm {

const KernelTable* avx2_kernels() {
  return nullptr;
}

}  // namespace fastvlm

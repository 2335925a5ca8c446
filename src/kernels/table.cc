// SPDX-License-Identifier: Apache-2.0
#include "kernels/table.h"

#include <array>
#include <atomic>
#include <utility>

#include "base/cpu.h"
#include "base/strings.h"
#include "kernels/kernel_table.h"

namespace fastvlm {
namespace {

// From the plainest to the fastest.
std::vector<const KernelTable*> available() {
  std::vector<const KernelTable*> tables;
  const KernelTable* vnni = avx512_vnni_kernels();
  const KernelTable* fastest = avx512_vnni_bf16_kernels();
  if (!cpu_features().fast_bf16) std::swap(vnni, fastest);
  for (const KernelTable* table :
       {reference_kernels(), avx2_kernels(), avx_vnni_kernels(), avx512_kernels(), vnni, fastest,
        neon_kernels(), neon_dotprod_kernels(), neon_i8mm_kernels()}) {
    if (table != nullptr) tables.push_back(table);
  }
  return tables;
}

std::atomic<const KernelTable*>& selected() {
  static std::atomic<const KernelTable*> table = available().back();
  return table;
}

}  // namespace

const KernelTable& kernels() {
  return *selected().load(std::memory_order_relaxed);
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const KernelTable* table : available()) names.emplace_back(table->name);
  return names;
}

std::string current_isa() {
  return kernels().name;
}

Status select_isa(std::string_view name) {
  for (const KernelTable* table : available()) {
    if (table->name == name) {
      selected().store(table, std::memory_order_relaxed);
      return {};
    }
  }
  return error(Code::kUsage, cat("no kernels called \"", name, "\" on this machine"),
               cat("choose one of ", bracketed(available_isas())));
}

}  // namespace fastvlm

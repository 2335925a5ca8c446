// SPDX-License-Identifier: Apache-2.0
// What this machine can do at most, to be measured in the same minute as the kernels, so that
// fractions mean something on a machine that does other work besides.
#pragma once

#include "base/thread_pool.h"

namespace fastvlm {

double thread_seconds();  // that this thread has computed

// Of one thread, a second of its processor time: floating-point operations (fused multiply-adds
// count two), operations on bytes (those on floats where the machine has no instruction for bytes),
// bytes read from memory.
double peak_flops();
double peak_dot_operations();
double peak_read();

// The same of a whole team, a second of the clock: what programs beside this one leave of it.
struct MachineLimits {
  double flops = 0;
  double dot_operations = 0;
  double read = 0;
};
MachineLimits measure_limits(ThreadPool& pool);

}  // namespace fastvlm

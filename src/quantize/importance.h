// SPDX-License-Identifier: Apache-2.0
// How much each input of the language model's linear layers matters to what comes out: the mean
// square of the values that flow into it (as in Lin et al. 2023, "AWQ", and llama.cpp's imatrix).
// The error of an output is the sum over inputs of weight error times value, so that an input whose
// values are large asks for weights that are close.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "language/qwen2.h"

namespace fastvlm {

class Importance {
 public:
  // Runs rows [n, hidden_size] (embedded ids and image tokens) through the model and counts what
  // its layers read. The same model every time.
  Status add(const Qwen2& model, std::span<const float> rows, ThreadPool& pool);

  // One number an input of the matrix of this canonical name, none of them 0; empty where nothing
  // is known of it.
  std::vector<float> of(const std::string& name) const;

  int64_t rows() const { return rows_; }

 private:
  void count(const std::string& name, const float* values, int64_t rows, int64_t width);

  std::map<std::string, std::vector<double>> squares_;  // sums, by the name of a matrix
  int64_t rows_ = 0;
};

}  // namespace fastvlm

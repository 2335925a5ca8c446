// SPDX-License-Identifier: Apache-2.0
// An evaluation as text for people.
#pragma once

#include <string>

#include "evaluate/bootstrap.h"
#include "evaluate/evaluation.h"

namespace fastvlm {

std::string to_table(const Evaluation& evaluation);
std::string to_table(const Evaluation& first, const Evaluation& second,
                     const MetricDifferences& differences);

}  // namespace fastvlm

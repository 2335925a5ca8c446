// SPDX-License-Identifier: Apache-2.0
// An evaluation as JSON and as tables (docs/METRICS.md lists the fields). Numbers are written with
// as many digits as it takes to read them back exactly.
#pragma once

#include <string>

#include "evaluate/bootstrap.h"
#include "evaluate/evaluation.h"

namespace fastvlm {

// {"corpus": …, "intervals": …, "factors": …, "grounding": …, "rubric": …, "images": […]}
std::string to_json(const Evaluation& evaluation);
// {"first": {"corpus": …, "grounding": …, "rubric": …}, "second": …, "differences": …}
std::string to_json(const Evaluation& first, const Evaluation& second,
                    const MetricDifferences& differences);

// One line an image, as in "images".
std::string images_as_json_lines(const Evaluation& evaluation);
std::string images_as_csv(const Evaluation& evaluation);  // ids and scores, with a header

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "train/team.h"

#include "base/strings.h"

namespace fastvlm {

Status check_same(Team& team, const std::string& name, const std::string& value) {
  const std::string leaders = team.spread(value);
  Status own;
  if (value != leaders) {
    own = error(Code::kUsage,
                cat("processes that train together need the same ", name, ": the first has ",
                    printable(leaders), ", found ", printable(value)),
                "give all of them the same model, data and options");
  }
  return team.agree(own);
}

}  // namespace fastvlm

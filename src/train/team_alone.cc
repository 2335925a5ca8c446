// SPDX-License-Identifier: Apache-2.0
// In place of team_mpi.cc where the program is built without MPI.
#include <cstdlib>
#include <string_view>

#include "base/strings.h"
#include "train/team.h"

namespace fastvlm {

Result<std::unique_ptr<Team>> join_team() {
  const char* size = std::getenv("OMPI_COMM_WORLD_SIZE");
  if (size != nullptr && std::string_view(size) != "1") {
    return error(Code::kUnsupported,
                 cat("started as one of ", printable(size),
                     " processes, and this program is built without MPI"),
                 "build it with -DFASTVLM_MPI=ON, or start it alone");
  }
  return std::make_unique<Team>();
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Stands for all_commands.cc in a build with FASTVLM_MINIMAL.
#include "cli/commands.h"

namespace fastvlm::cli {

void add_commands(CLI::App& program, Command& chosen) {
  add_caption(program, chosen);
  add_watch(program, chosen);
}

}  // namespace fastvlm::cli

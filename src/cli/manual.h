// SPDX-License-Identifier: Apache-2.0
// The manual page and what shells complete, from the tree of commands itself, so that neither can
// name an option that is not there.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace fastvlm::cli {

struct ManualCommand {
  std::string name;  // "fastvlm dataset build"
  const CLI::App* app = nullptr;
};

// The program and all that is below it, each before its own.
std::vector<ManualCommand> all_commands(const CLI::App& program);

// The values among which an option takes one; none: any text.
std::vector<std::string> choices_of(const CLI::Option& option);

// fastvlm.1, for man.
std::string manual_page(const CLI::App& program);

std::string bash_completions(const CLI::App& program);
std::string zsh_completions(const CLI::App& program);
std::string fish_completions(const CLI::App& program);

}  // namespace fastvlm::cli

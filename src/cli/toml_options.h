// SPDX-License-Identifier: Apache-2.0
// Options of a command in a TOML file: learning_rate = 1e-4 is --learning-rate 1e-4, and r = 64
// under [lora] is --lora-r 64. What the command line says wins.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>

#include "base/result.h"

namespace fastvlm::cli {

// Sets the options of `command` that were not given. To be called once it has been parsed. Errors
// name file, line and key: TOML that is none, an unknown key, a value that the option refuses.
Status apply_toml(const std::filesystem::path& path, CLI::App& command);

}  // namespace fastvlm::cli

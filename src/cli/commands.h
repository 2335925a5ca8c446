// SPDX-License-Identifier: Apache-2.0
// One function a sub-command: it declares the arguments and, when the user chose it, leaves in
// `chosen` what to run.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "cli/console.h"

namespace fastvlm::cli {

using Command = std::function<Exit()>;

// All that this build has, in the order of --help.
void add_commands(CLI::App& program, Command& chosen);

void add_caption(CLI::App& program, Command& chosen);
void add_merge_results(CLI::App& program, Command& chosen);
void add_watch(CLI::App& program, Command& chosen);
void add_detect(CLI::App& program, Command& chosen);
void add_predict(CLI::App& program, Command& chosen);
void add_info(CLI::App& program, Command& chosen);
void add_doctor(CLI::App& program, Command& chosen);
void add_tokenize(CLI::App& program, Command& chosen);  // and detokenize
void add_dump(CLI::App& program, Command& chosen);
void add_pull(CLI::App& program, Command& chosen);  // and models
void add_evaluate(CLI::App& program, Command& chosen);
void add_rate(CLI::App& program, Command& chosen);
void add_serve(CLI::App& program, Command& chosen);
void add_bench(CLI::App& program, Command& chosen);
void add_merge(CLI::App& program, Command& chosen);
void add_quantize(CLI::App& program, Command& chosen);
void add_dataset(CLI::App& program, Command& chosen);
void add_train(CLI::App& program, Command& chosen);
void add_card(CLI::App& program, Command& chosen);
void add_dev(CLI::App& program, Command& chosen);

}  // namespace fastvlm::cli

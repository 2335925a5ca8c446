// SPDX-License-Identifier: Apache-2.0
#include "cli/commands.h"

namespace fastvlm::cli {

void add_commands(CLI::App& program, Command& chosen) {
  add_caption(program, chosen);
  add_merge_results(program, chosen);
  add_watch(program, chosen);
  add_detect(program, chosen);
  add_predict(program, chosen);
  add_info(program, chosen);
  add_doctor(program, chosen);
  add_tokenize(program, chosen);
  add_dump(program, chosen);
  add_pull(program, chosen);
  add_evaluate(program, chosen);
  add_rate(program, chosen);
  add_serve(program, chosen);
  add_train(program, chosen);
  add_card(program, chosen);
  add_bench(program, chosen);
  add_merge(program, chosen);
  add_quantize(program, chosen);
  add_dataset(program, chosen);
  add_dev(program, chosen);
}

}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
// How an answer is made: its sections, and what holds repetition down.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"
#include "caption/caption.h"
#include "cli/flags.h"

namespace fastvlm::cli {

// --schema, --json-schema, --free.
class AnswerFlags {
 public:
  void add_sections_to(CLI::App& command);

  // Sets the prompt and the schema of a request: without a prompt, that of the schema. Reads files;
  // kUsage, kInvalid and so on before any work.
  Status apply(const PromptFlags& prompt, CaptionRequest& request) const;

  const std::string& schema() const { return schema_; }
  const std::string& json_schema() const { return json_schema_; }

 private:
  std::string schema_;
  std::string json_schema_;
  bool free_ = false;
};

// --repetition-penalty and --dry-*.
void add_penalties_to(CLI::App& command, SamplingOptions& sampling);

}  // namespace fastvlm::cli

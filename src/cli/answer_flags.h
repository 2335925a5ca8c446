// SPDX-License-Identifier: Apache-2.0
// How an answer is made and shown: its sections, what holds repetition down, its form on stdout.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"
#include "caption/caption.h"
#include "caption/caption_style.h"
#include "cli/flags.h"

namespace fastvlm::cli {

// --schema, --json-schema, --free, and the penalties of SamplingOptions.
class AnswerFlags {
 public:
  void add_sections_to(CLI::App& command);
  void add_penalties_to(CLI::App& command);

  // Sets the prompt, the schema and the penalties of a request: without a prompt, that of the
  // schema. Reads files; kUsage, kInvalid and so on before any work.
  Status apply(const PromptFlags& prompt, CaptionRequest& request) const;

 private:
  std::string schema_;
  std::string json_schema_;
  bool free_ = false;
  SamplingOptions penalties_;
};

// --format, and --json for `--format json`.
class FormatFlag {
 public:
  void add_to(CLI::App& command);
  bool json() const { return json_ || format_ == "json"; }
  CaptionStyle style() const;  // when it is not JSON

 private:
  std::string format_ = "text";
  bool json_ = false;
};

}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
#include "cli/answer_flags.h"

#include <filesystem>

#include "base/mapped_file.h"

namespace fastvlm::cli {

void AnswerFlags::add_sections_to(CLI::App& command) {
  CLI::Option* schema =
      command
          .add_option("--schema", schema_, "Sections of the answer: a JSON file [the seven points]")
          ->option_text("FILE");
  CLI::Option* json = command
                          .add_option("--json-schema", json_schema_,
                                      "Make the answer JSON that fits this JSON Schema")
                          ->option_text("FILE")
                          ->excludes(schema);
  command.add_flag("--free", free_, "Let the model write the headers too, or leave them out")
      ->excludes(schema)
      ->excludes(json);
}

void add_penalties_to(CLI::App& command, SamplingOptions& sampling) {
  command
      .add_option("--repetition-penalty", sampling.repetition_penalty,
                  "Above 1: tokens that are there already become less likely")
      ->check(CLI::Range(1e-6, 1e6))
      ->capture_default_str();
  CLI::Option* multiplier =
      command
          .add_option("--dry-multiplier", sampling.dry_multiplier,
                      "Above 0 (0.8 is usual): so do tokens that go on repeating a sequence (DRY)")
          ->check(CLI::Range(0.0, 1e6))
          ->capture_default_str();
  command.add_option("--dry-base", sampling.dry_base, "How fast that grows with the sequence")
      ->check(CLI::Range(1.0, 1e6))
      ->needs(multiplier)
      ->capture_default_str();
  command
      .add_option("--dry-allowed-length", sampling.dry_allowed_length,
                  "Sequences shorter than this may be repeated")
      ->check(CLI::Range(1, 1 << 20))
      ->needs(multiplier)
      ->capture_default_str();
}

Status AnswerFlags::apply(const PromptFlags& prompt, CaptionRequest& request) const {
  constexpr size_t kLimit = size_t{1} << 20;
  request.free = free_;
  std::string question(seven_point_prompt());
  const auto file_name = [](const std::string& file) {
    return std::filesystem::path(file).filename().string();
  };
  if (!schema_.empty()) {
    FASTVLM_ASSIGN(const std::string text, read_text_file(schema_, kLimit));
    FASTVLM_ASSIGN(CaptionSchema schema, parse_caption_schema(text, file_name(schema_)));
    question = schema_prompt(schema);
    request.schema = std::make_shared<const CaptionSchema>(std::move(schema));
  }
  if (!json_schema_.empty()) {
    FASTVLM_ASSIGN(const std::string text, read_text_file(json_schema_, kLimit));
    FASTVLM_ASSIGN(JsonSchema schema, parse_json_schema(text, file_name(json_schema_)));
    question = json_schema_prompt(schema);
    request.json_schema = std::make_shared<const JsonSchema>(std::move(schema));
  }
  FASTVLM_ASSIGN(request.prompt, prompt.read(question));
  return {};
}

}  // namespace fastvlm::cli

// SPDX-License-Identifier: Apache-2.0
// Arguments that several commands share: declared once, read the same everywhere.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "caption/engine.h"
#include "image/decode.h"

namespace fastvlm::cli {

// --model, --vision-tower, --precision, --threads, --isa.
struct ModelFlags {
  std::string model;
  std::string vision_tower;
  std::string isa;
  std::string precision = "auto";
  std::string adapter;  // DIR or DIR:SCALE
  uint64_t memory = 0;  // bytes; 0: no limit
  bool keep_tower = true;
  int sessions = 1;  // EngineOptions has these two
  int64_t text_tokens = EngineOptions().text_tokens;
  int threads = 0;
  std::string drafts;
  std::string token_cache;
  uint64_t token_cache_size = 1'000'000'000;  // bytes

  void add_to(CLI::App& command);
  void add_model_to(CLI::App& command);    // --model and --vision-tower alone
  void add_machine_to(CLI::App& command);  // --threads and --isa alone
  void add_precision_to(CLI::App& command);
  void add_adapter_to(CLI::App& command);
  void add_memory_to(CLI::App& command);
  void add_drafts_to(CLI::App& command);       // --drafts
  void add_token_cache_to(CLI::App& command);  // --token-cache, --token-cache-size
  // Selects the instruction set and starts the threads. Call before anything is loaded.
  Result<std::unique_ptr<ThreadPool>> prepare() const;
  std::optional<std::filesystem::path> tower_path() const;
  std::optional<Arithmetic> arithmetic() const;  // none: auto
};

// --no-exif, --aspect, --image-size: where a run is to differ from what the checkpoint says.
struct ImageFlags {
  bool no_exif = false;
  std::string aspect;
  int image_size = 0;

  void add_to(CLI::App& command);
  DecodeOptions decode_options() const;
  // `model` is the checkpoint folder.
  EngineOptions engine_options(const std::filesystem::path& model, const ModelFlags& flags) const;
};

// --prompt, --prompt-file, --order, --tags.
struct PromptFlags {
  std::string text;
  std::string file;
  std::string order = "python";
  std::string tags;

  void add_prompt_to(CLI::App& command);
  void add_order_to(CLI::App& command);
  void add_tags_to(CLI::App& command);
  // The prompt: the file's text, a named prompt, the text given, or `otherwise`.
  Result<std::string> read(std::string_view otherwise) const;
  PromptOrder prompt_order() const;
  // The tags for an image `width` pixels wide: none, a file's, or those listed.
  Result<std::vector<Tag>> read_tags(int width) const;
};

// Checks of an argument's text: a whole number from 0 to 2^64 - 1; what begins with a digit;
// anything but nothing.
CLI::Validator is_seed();
CLI::Validator is_amount();
CLI::Validator is_not_empty();

// Loads the model that the flags name, with a note when it is the toy model. Its warnings go to
// stderr.
Result<std::shared_ptr<const Engine>> load_engine(const ModelFlags& model, const ImageFlags& image,
                                                  ThreadPool& pool);

// Says in the provenance that a picture was left as stored, which the engine cannot know.
void record_decoding(const DecodeOptions& decoding, Provenance& provenance);

// How outputs name a file: as it was given, or by its name alone when the path is absolute.
std::string shown_name(const std::string& path);

}  // namespace fastvlm::cli

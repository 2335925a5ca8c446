// SPDX-License-Identifier: Apache-2.0
#include "cli/flags.h"

#include <charconv>

#include "base/mapped_file.h"
#include "cli/adapter_flag.h"
#include "cli/console.h"
#include "cli/find_model.h"
#include "kernels/table.h"

namespace fastvlm::cli {

void ModelFlags::add_to(CLI::App& command) {
  add_model_to(command);
  add_adapter_to(command);
  add_precision_to(command);
  add_machine_to(command);
}

void ModelFlags::add_adapter_to(CLI::App& command) {
  command
      .add_option("--adapter", adapter,
                  "LoRA adapter in PEFT's form, not merged: DIR, or DIR:SCALE")
      ->check([](const std::string& text) {
        const auto parsed = parse_adapter(text);
        return parsed.ok() ? std::string() : parsed.status().message;
      });
}

void ModelFlags::add_model_to(CLI::App& command) {
  command.add_option("--model", model,
                     "Checkpoint folder or pulled model [FASTVLM_MODEL, or the demo]");
  command.add_option("--vision-tower", vision_tower,
                     "Vision tower: file or folder, if not in the model");
}

void ModelFlags::add_precision_to(CLI::App& command) {
  command.add_option("--precision", precision, "Of products: auto, fp32, bf16 or int8")
      ->check(CLI::IsMember({"auto", "fp32", "bf16", "int8"}))
      ->capture_default_str();
}

void ModelFlags::add_memory_to(CLI::App& command) {
  command
      .add_option("--memory", memory,
                  "Most that may be used, as in 400M; less makes tower and language model take "
                  "turns, too little is refused")
      ->transform(CLI::AsSizeValue(true))
      ->transform(is_amount())  // looked at before that
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 50))
      ->option_text("SIZE");
}

void ModelFlags::add_drafts_to(CLI::App& command) {
  command
      .add_option("--drafts", drafts,
                  "Table of what captions often say, or none: guess nothing. The text is the same "
                  "[captions.drafts beside the model]")
      ->option_text("FILE|none")
      ->check(is_not_empty());
}

void ModelFlags::add_token_cache_to(CLI::App& command) {
  auto* folder = command
                     .add_option("--token-cache", token_cache,
                                 "Folder that keeps what the tower makes of pictures, for later "
                                 "captions of the same ones")
                     ->option_text("FOLDER")
                     ->check(is_not_empty());
  command
      .add_option("--token-cache-size", token_cache_size,
                  "The most that it may hold, as in 500M [1G]; the least recently used goes first")
      ->transform(CLI::AsSizeValue(true))
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 50))
      ->option_text("SIZE")
      ->needs(folder);
}

void ModelFlags::add_machine_to(CLI::App& command) {
  command.add_option("--threads", threads, "Threads [one a core]")->check(CLI::Range(1, 1024));
  command.add_option("--isa", isa, "Instruction set: a name from `fastvlm info` [the best]");
}

Result<std::unique_ptr<ThreadPool>> ModelFlags::prepare() const {
  if (!isa.empty()) FASTVLM_RETURN_IF_ERROR(select_isa(isa));
  auto pool = std::make_unique<ThreadPool>(threads);
  if (pool->size() < threads) {
    return error(Code::kLimit,
                 cat("--threads ", threads, ": the system grants only ", pool->size()),
                 "ask for fewer threads; more than there are processors do not help");
  }
  return pool;
}

std::optional<std::filesystem::path> ModelFlags::tower_path() const {
  if (vision_tower.empty()) return std::nullopt;
  return vision_tower;
}

std::optional<Arithmetic> ModelFlags::arithmetic() const {
  for (const Arithmetic each : {Arithmetic::kF32, Arithmetic::kBf16, Arithmetic::kInt8}) {
    if (precision == arithmetic_name(each)) return each;
  }
  return std::nullopt;
}

void ImageFlags::add_to(CLI::App& command) {
  command.add_flag("--no-exif", no_exif, "Leave the picture as stored, do not turn it upright");
  command.add_option("--aspect", aspect, "pad: whole picture; crop: middle square [the model's]")
      ->check(CLI::IsMember({"pad", "crop"}));
  command
      .add_option("--image-size", image_size, "Side in pixels that the tower sees [the model's]")
      ->check(CLI::Range(1, kMaxImageSide));
}

DecodeOptions ImageFlags::decode_options() const {
  DecodeOptions options;
  options.apply_exif = !no_exif;
  return options;
}

EngineOptions ImageFlags::engine_options(const std::filesystem::path& model,
                                         const ModelFlags& flags) const {
  EngineOptions options;
  options.model = model;
  options.vision_tower = flags.tower_path();
  options.vision = flags.arithmetic();
  options.keep_tower = flags.keep_tower;
  options.sessions = flags.sessions;
  options.text_tokens = flags.text_tokens;
  if (flags.memory > 0) options.memory_limit = static_cast<int64_t>(flags.memory);
  options.language = flags.arithmetic().value_or(options.language);
  options.token_cache.folder = flags.token_cache;
  options.token_cache.folder_bytes = static_cast<int64_t>(flags.token_cache_size);
  options.draft = flags.drafts != "none";
  if (options.draft && !flags.drafts.empty()) options.drafts = flags.drafts;
  if (!flags.adapter.empty()) {
    const auto adapter = parse_adapter(flags.adapter);  // it was looked at as an option
    options.adapter = AdapterChoice{adapter->folder, adapter->strength};
  }
  if (!aspect.empty()) options.aspect = aspect == "pad" ? Aspect::kPad : Aspect::kCrop;
  if (image_size > 0) options.image_size = image_size;
  return options;
}

void PromptFlags::add_prompt_to(CLI::App& command) {
  auto* given = command
                    .add_option("--prompt", text,
                                "Question, or seven_point, describe, no_objects [seven_point]")
                    ->check(is_not_empty());
  command.add_option("--prompt-file", file, "File with the question")->excludes(given);
}

void PromptFlags::add_order_to(CLI::App& command) {
  command.add_option("--order", order, "python: image, then question; ios: the other way round")
      ->check(CLI::IsMember({"python", "ios"}))
      ->capture_default_str();
}

void PromptFlags::add_tags_to(CLI::App& command) {
  command.add_option("--tags", tags,
                     "Objects to mention: \"person (left), dog\", a file, or none [none]");
}

Result<std::string> PromptFlags::read(std::string_view otherwise) const {
  constexpr size_t kLimit = size_t{1} << 20;
  std::string prompt(otherwise);
  if (!file.empty()) {
    FASTVLM_ASSIGN(const std::string content, read_text_file(file, kLimit));
    prompt = trimmed(content);
  } else if (!text.empty()) {
    prompt = named_prompt(text).value_or(text);
  }
  if (trimmed(prompt).empty()) {
    return error(Code::kUsage, "the prompt is empty", "ask something, or leave --prompt out");
  }
  return prompt;
}

PromptOrder PromptFlags::prompt_order() const {
  return order == "ios" ? PromptOrder::kImageLast : PromptOrder::kImageFirst;
}

Result<std::vector<Tag>> PromptFlags::read_tags(int width) const {
  if (tags.empty() || tags == "none") return std::vector<Tag>{};
  if (tags == "auto") {
    return error(Code::kUsage, "--tags auto: this command runs no detector",
                 "write what `fastvlm detect IMAGE --json` prints to a file and name that");
  }
  std::error_code ignored;
  if (!std::filesystem::exists(tags, ignored)) {
    const std::string extension = std::filesystem::path(tags).extension().string();
    if (extension == ".json" || extension == ".txt" || tags.find('/') != std::string::npos) {
      return error(Code::kNotFound, cat("--tags ", tags, ": no such file"),
                   "name a file that exists, or list the objects: \"person (left), dog\"");
    }
    return parse_tag_list(tags);
  }
  constexpr size_t kLimit = size_t{16} << 20;
  FASTVLM_ASSIGN(const std::string content, read_text_file(tags, kLimit));
  return parse_tags_file(content, tags, width);
}

CLI::Validator is_seed() {
  return {[](const std::string& text) {
            uint64_t seed = 0;
            const char* last = text.data() + text.size();
            const auto [end, failed] = std::from_chars(text.data(), last, seed);
            const bool good = failed == std::errc{} && end == last;
            return good ? std::string() : cat("expected 0 .. ", UINT64_MAX, ", found ", text);
          },
          ""};
}

CLI::Validator is_amount() {
  return {[](const std::string& text) {
            const bool digit = !text.empty() && text.front() >= '0' && text.front() <= '9';
            return digit ? std::string() : cat("expected a size as in 400M, found ", text);
          },
          ""};
}

CLI::Validator is_not_empty() {
  return {[](const std::string& text) {
            return text.empty() ? std::string("expected a text, found nothing") : std::string();
          },
          ""};
}

Result<std::shared_ptr<const Engine>> load_engine(const ModelFlags& model, const ImageFlags& image,
                                                  ThreadPool& pool) {
  FASTVLM_ASSIGN(const FoundModel found, find_model(model.model));
  if (found.demo) {
    note(
        "using the bundled demo model, a toy that knows drawn scenes only; --model DIR names "
        "another");
  }
  FASTVLM_ASSIGN(auto engine, Engine::load(image.engine_options(found.folder, model), pool));
  for (const std::string& line : engine->warnings()) warn(line);
  return engine;
}

void record_decoding(const DecodeOptions& decoding, Provenance& provenance) {
  if (!decoding.apply_exif) provenance.preprocessing += ", as stored (--no-exif)";
}

std::string shown_name(const std::string& path) {
  const std::filesystem::path given(path);
  return given.is_absolute() ? given.filename().string() : path;
}

}  // namespace fastvlm::cli

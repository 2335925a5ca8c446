// SPDX-License-Identifier: Apache-2.0
// fastvlm bench: how fast tower, prompt and answer are on this machine, beside what the machine can
// do at most, in the manner of llama-bench. Random pixels and ids: nothing depends on their values.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/cpu.h"
#include "caption/caption_json.h"
#include "cli/commands.h"
#include "cli/find_model.h"
#include "cli/flags.h"
#include "kernels/machine_limits.h"
#include "kernels/table.h"

namespace fastvlm::cli {
namespace {

using Json = nlohmann::ordered_json;

struct BenchCommand {
  ModelFlags model;
  ImageFlags image;
  std::vector<int64_t> prompts{320};
  std::vector<int64_t> answers{64};
  std::vector<int64_t> sides;  // none: the checkpoint's own
  std::vector<int> threads;    // none: one a core
  std::vector<std::string> precisions{"auto"};
  int repetitions = 5;
  bool json = false;
  bool csv = false;
  std::string card_image;

  Status run();
  Status print_card();
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double standard_deviation(const std::vector<double>& values) {
  if (values.size() < 2) return 0;
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return std::sqrt(squares / (n - 1));
}

// One row: what was done `seconds.size()` times.
struct Measurement {
  std::string test;
  std::vector<double> seconds;
  int64_t tokens = 0;     // of the prompt or answer, for tokens a second
  double operations = 0;  // multiplications and additions
  double limit = 0;       // operations a second that the machine could do of this kind
  double bytes = 0;       // of weights and keys that are read
};

// Runs `work` once to warm up and then `repetitions` times by the clock.
template <typename Work>
Result<std::vector<double>> repeat(int repetitions, const Work& work) {
  std::vector<double> seconds;
  for (int i = -1; i < repetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    FASTVLM_RETURN_IF_ERROR(work());
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    if (i >= 0) seconds.push_back(elapsed.count());
  }
  return seconds;
}

// One model at one precision on one team, and its rows.
class Bench {
 public:
  static Result<Bench> load(const Checkpoint& checkpoint, const EngineOptions& options,
                            ThreadPool& pool);

  Status measure(const BenchCommand& command, std::vector<Measurement>& rows);

  MachineLimits limits;
  Precision precision;

 private:
  Bench(Qwen2 language, ThreadPool& pool) : language_(std::move(language)), pool_(&pool) {}

  Status tower(int64_t side, int repetitions, std::vector<Measurement>& rows);
  Status prefill(int64_t tokens, int repetitions, std::vector<Measurement>& rows);
  Status decode(int64_t past, int64_t tokens, int repetitions, std::vector<Measurement>& rows);
  Status first_token(int64_t side, int64_t prompt, int repetitions, std::vector<Measurement>& rows);

  Result<std::vector<float>> embedded(int64_t tokens) const;
  double limit(Arithmetic arithmetic) const {
    // bf16 products go at twice the rate of float ones where there is an instruction for them.
    if (arithmetic == Arithmetic::kInt8) return limits.dot_operations;
    return arithmetic == Arithmetic::kBf16 ? 2 * limits.flops : limits.flops;
  }
  double prompt_operations(int64_t tokens) const;

  Qwen2 language_;
  std::optional<VisionTower> tower_;
  std::optional<Projector> projector_;
  int64_t own_side_ = 0;
  ThreadPool* pool_;
};

Result<Bench> Bench::load(const Checkpoint& checkpoint, const EngineOptions& options,
                          ThreadPool& pool) {
  const MachineLimits limits = measure_limits(pool);
  std::ofstream("/proc/self/clear_refs") << 5;  // the peak of memory counts from here
  FASTVLM_ASSIGN(Qwen2 language, Qwen2::load(checkpoint, pool, options.language));
  Bench bench(std::move(language), pool);
  bench.limits = limits;
  bench.precision = {vision_arithmetic(options.vision), options.language};
  if (!checkpoint.has_vision()) return bench;
  FASTVLM_ASSIGN(bench.tower_, VisionTower::load(checkpoint, pool, bench.precision.vision));
  FASTVLM_ASSIGN(const Preprocessing preprocessing,
                 preprocessing_of(checkpoint.config(), bench.tower_->stride(), options));
  bench.own_side_ = preprocessing.size;
  if (checkpoint.has_projector()) {
    FASTVLM_ASSIGN(bench.projector_, Projector::load(checkpoint, pool));
  }
  return bench;
}

Status Bench::measure(const BenchCommand& command, std::vector<Measurement>& rows) {
  std::vector<int64_t> sides = command.sides;
  if (sides.empty() && tower_) sides.push_back(own_side_);
  for (const int64_t side : sides) {
    FASTVLM_RETURN_IF_ERROR(tower(side, command.repetitions, rows));
  }
  for (const int64_t prompt : command.prompts) {
    FASTVLM_RETURN_IF_ERROR(prefill(prompt, command.repetitions, rows));
  }
  const int64_t past = command.prompts.empty() ? 1 : command.prompts.front();
  for (const int64_t answer : command.answers) {
    FASTVLM_RETURN_IF_ERROR(decode(past, answer, command.repetitions, rows));
  }
  for (const int64_t side : sides) {
    for (const int64_t prompt : command.prompts) {
      if (!projector_ || prompt < tower_->token_count(side, side)) continue;
      FASTVLM_RETURN_IF_ERROR(first_token(side, prompt, command.repetitions, rows));
    }
  }
  return {};
}

std::vector<float> ramp_and_noise(int64_t side) {
  std::vector<float> pixels(static_cast<size_t>(side * side * 3));
  uint32_t state = 1;
  for (size_t i = 0; i < pixels.size(); ++i) {
    state = state * 1664525U + 1013904223U;
    const float ramp = static_cast<float>(i) / static_cast<float>(pixels.size());
    pixels[i] = 0.75F * ramp + 0.25F * static_cast<float>(state >> 8) / 16777216.0F;
  }
  return pixels;
}

Status Bench::tower(int64_t side, int repetitions, std::vector<Measurement>& rows) {
  if (!tower_) {
    return error(Code::kUsage, "--image-sizes: the checkpoint has no vision tower",
                 "name one with --vision-tower, or leave the option out");
  }
  const std::vector<float> pixels = ramp_and_noise(side);
  FASTVLM_ASSIGN(const auto seconds, repeat(repetitions, [&] {
                   return tower_->encode(pixels.data(), side, side, *pool_).status();
                 }));
  rows.push_back({.test = cat("tower ", side),
                  .seconds = seconds,
                  .operations = 2.0 * static_cast<double>(tower_->multiply_adds(side, side)),
                  .limit = limit(precision.vision)});
  return {};
}

Result<std::vector<float>> Bench::embedded(int64_t tokens) const {
  std::vector<int32_t> ids(static_cast<size_t>(tokens));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>(static_cast<int64_t>(i) * 7919 % language_.config().vocab_size);
  }
  std::vector<float> rows(static_cast<size_t>(tokens * language_.config().hidden_size));
  FASTVLM_RETURN_IF_ERROR(language_.embed(ids, rows.data()));
  return rows;
}

// Products with weights: the head for the last position only. Attention is small beside them.
double Bench::prompt_operations(int64_t tokens) const {
  const LanguageConfig& config = language_.config();
  const int64_t embedding = config.vocab_size * config.hidden_size;
  const int64_t tables = config.tied ? embedding : 2 * embedding;
  return 2.0 * static_cast<double>((language_.parameters() - tables) * tokens + embedding);
}

Status Bench::prefill(int64_t tokens, int repetitions, std::vector<Measurement>& rows) {
  FASTVLM_RETURN_IF_ERROR(language_.check_context(tokens, 1));
  FASTVLM_ASSIGN(const std::vector<float> prompt, embedded(tokens));
  KvCache cache(language_.config(), tokens);
  std::vector<float> logits;
  FASTVLM_ASSIGN(const auto seconds, repeat(repetitions, [&] {
                   cache.truncate(0);
                   return language_.forward(cache, prompt.data(), tokens, Qwen2::Logits::kLast,
                                            logits, *pool_);
                 }));
  rows.push_back({.test = cat("prompt ", tokens),
                  .seconds = seconds,
                  .tokens = tokens,
                  .operations = prompt_operations(tokens),
                  .limit = limit(precision.language)});
  return {};
}

Status Bench::decode(int64_t past, int64_t tokens, int repetitions,
                     std::vector<Measurement>& rows) {
  FASTVLM_RETURN_IF_ERROR(language_.check_context(past, tokens));
  FASTVLM_ASSIGN(const std::vector<float> prompt, embedded(past + 1));
  KvCache cache(language_.config(), past + tokens);
  std::vector<float> logits;
  FASTVLM_RETURN_IF_ERROR(
      language_.forward(cache, prompt.data(), past, Qwen2::Logits::kNone, logits, *pool_));
  const float* row = prompt.data() + past * language_.config().hidden_size;
  FASTVLM_ASSIGN(const auto seconds, repeat(repetitions, [&]() -> Status {
                   cache.truncate(past);
                   for (int64_t i = 0; i < tokens; ++i) {
                     FASTVLM_RETURN_IF_ERROR(
                         language_.forward(cache, row, 1, Qwen2::Logits::kLast, logits, *pool_));
                   }
                   return {};
                 }));
  const double keys = static_cast<double>(cache.bytes()) / static_cast<double>(cache.capacity()) *
                      (static_cast<double>(past) + static_cast<double>(tokens) / 2);
  rows.push_back(
      {.test = cat("answer ", tokens),
       .seconds = seconds,
       .tokens = tokens,
       .bytes = static_cast<double>(tokens) * (static_cast<double>(language_.bytes()) + keys)});
  return {};
}

Status Bench::first_token(int64_t side, int64_t prompt, int repetitions,
                          std::vector<Measurement>& rows) {
  const std::vector<float> pixels = ramp_and_noise(side);
  KvCache cache(language_.config(), prompt);
  std::vector<float> logits;
  FASTVLM_ASSIGN(
      const auto seconds, repeat(repetitions, [&]() -> Status {
        FASTVLM_ASSIGN(const Tokens tokens, tower_->encode(pixels.data(), side, side, *pool_));
        FASTVLM_ASSIGN(std::vector<float> input, embedded(prompt));
        const Tokens image = projector_->project(tokens, *pool_);
        std::copy(image.values.begin(), image.values.end(), input.begin());
        cache.truncate(0);
        return language_.forward(cache, input.data(), prompt, Qwen2::Logits::kLast, logits, *pool_);
      }));
  rows.push_back(
      {.test = cat("first token ", side, " + ", prompt - tower_->token_count(side, side)),
       .seconds = seconds});
  return {};
}

// A finished combination as plain values, for all three forms of output.
Json row_of(const Measurement& m, const Bench& bench, int threads) {
  const double seconds = median(m.seconds);
  Json row{{"test", m.test},
           {"precision", describe_precision(bench.precision)},
           {"threads", threads},
           {"ms", 1e3 * seconds},
           {"ms_deviation", 1e3 * standard_deviation(m.seconds)},
           {"tokens_per_second", nullptr},
           {"gop_per_second", nullptr},
           {"gb_per_second", nullptr},
           {"of_limit", nullptr}};
  if (m.tokens > 0) row["tokens_per_second"] = static_cast<double>(m.tokens) / seconds;
  if (m.operations > 0) {
    row["gop_per_second"] = 1e-9 * m.operations / seconds;
    row["of_limit"] = m.operations / seconds / m.limit;
  }
  if (m.bytes > 0) {
    row["gb_per_second"] = 1e-9 * m.bytes / seconds;
    row["of_limit"] = m.bytes / seconds / bench.limits.read;
  }
  return row;
}

// A number of a row; nothing where it has none.
std::string shown(const Json& value, int digits) {
  return value.is_null() ? "" : fixed(value.get<double>(), digits);
}

std::string markdown(const Json& rows) {
  std::string text =
      "| test | precision | threads | ms | tok/s | GOP/s | GB/s | of limit |\n"
      "|---|---|---:|---:|---:|---:|---:|---:|\n";
  for (const Json& row : rows) {
    const Json share =
        row["of_limit"].is_null() ? Json() : Json(100 * row["of_limit"].get<double>());
    text += cat("| ", row["test"].get<std::string>(), " | ", row["precision"].get<std::string>(),
                " | ", row["threads"].get<int>(), " | ", shown(row["ms"], 1), " ± ",
                shown(row["ms_deviation"], 1), " | ", shown(row["tokens_per_second"], 1), " | ",
                shown(row["gop_per_second"], 0), " | ", shown(row["gb_per_second"], 1), " | ",
                share.is_null() ? "" : shown(share, 0) + " %", " |\n");
  }
  return text;
}

std::string comma_separated(const Json& rows) {
  std::string text;
  for (const auto& [key, value] : rows.front().items()) text += (text.empty() ? "" : ",") + key;
  text += '\n';
  for (const Json& row : rows) {
    std::string line;
    for (const auto& [key, value] : row.items()) {
      const std::string field = value.is_string() ? value.get<std::string>()
                                : value.is_null() ? ""
                                                  : value.dump();
      line += (line.empty() ? "" : ",") + csv_field(field);
    }
    text += line + '\n';
  }
  return text;
}

Json limits_of(const Bench& bench, int threads) {
  return {{"threads", threads},
          {"precision", describe_precision(bench.precision)},
          {"float_gop_per_second", 1e-9 * bench.limits.flops},
          {"byte_gop_per_second", 1e-9 * bench.limits.dot_operations},
          {"read_gb_per_second", 1e-9 * bench.limits.read},
          {"peak_memory_mb", 1e-6 * static_cast<double>(peak_resident_bytes())}};
}

std::string machine_lines(const Json& runs) {
  std::string text =
      cat(cpu_model_name(), ", ", cpu_count(), " processors, kernels ", current_isa(), "\n");
  for (const Json& run : runs) {
    text += cat("threads ", run["threads"].get<int>(), ", ", run["precision"].get<std::string>(),
                ": limits of the machine, measured just before, ",
                shown(run["float_gop_per_second"], 0), " GOP/s on floats, ",
                shown(run["byte_gop_per_second"], 0), " on bytes, reads ",
                shown(run["read_gb_per_second"], 1), " GB/s; peak memory ",
                shown(run["peak_memory_mb"], 0), " MB\n");
  }
  return text;
}

Status BenchCommand::run() {
  if (!card_image.empty()) return print_card();
  Json rows = Json::array();
  Json runs = Json::array();
  FASTVLM_ASSIGN(const FoundModel found, find_model(model.model));
  const std::filesystem::path& folder = found.folder;
  for (const int count : threads.empty() ? std::vector<int>{model.threads} : threads) {
    for (const std::string& precision : precisions) {
      ModelFlags flags = model;
      flags.threads = count;
      flags.precision = precision;
      FASTVLM_ASSIGN(const auto pool, flags.prepare());
      FASTVLM_ASSIGN(const Checkpoint checkpoint, Checkpoint::open(folder, {flags.tower_path()}));
      FASTVLM_ASSIGN(Bench bench,
                     Bench::load(checkpoint, image.engine_options(folder, flags), *pool));
      std::vector<Measurement> measured;
      FASTVLM_RETURN_IF_ERROR(bench.measure(*this, measured));
      for (const Measurement& m : measured) rows.push_back(row_of(m, bench, pool->size()));
      runs.push_back(limits_of(bench, pool->size()));
    }
  }
  if (rows.empty()) {
    return error(Code::kUsage, "nothing to measure", "give -p, -n or --image-sizes");
  }
  if (csv) return print(comma_separated(rows));
  if (!json) return print(cat(machine_lines(runs), "\n", markdown(rows)));
  const Json machine{
      {"processor", cpu_model_name()}, {"processors", cpu_count()}, {"kernels", current_isa()}};
  const Json all{{"program", cat("fastvlm ", program_version())},
                 {"model", folder.filename().string()},
                 {"machine", machine},
                 {"repetitions", repetitions},
                 {"runs", runs},
                 {"rows", rows}};
  return print(all.dump(2) + "\n");
}

// What the computer calls itself, where it says.
std::string device_name() {
  for (const char* path :
       {"/sys/devices/virtual/dmi/id/product_name", "/sys/firmware/devicetree/base/model"}) {
    std::ifstream file(path);
    std::string name;
    if (std::getline(file, name, '\0') && !name.empty()) return std::string(trimmed(name));
  }
  return "computer";
}

Status BenchCommand::print_card() {
  if (threads.size() > 1 || precisions.size() > 1 || !sides.empty()) {
    return error(Code::kUsage, "--card: one run, at the checkpoint's own image size",
                 "give one --threads and one --precision, and no --image-sizes");
  }
  FASTVLM_ASSIGN(const Image picture, load_image(card_image, image.decode_options()));
  FASTVLM_ASSIGN(const auto pool, model.prepare());
  FASTVLM_ASSIGN(const auto engine, load_engine(model, image, *pool));
  std::vector<double> first;
  std::vector<double> rate;
  int64_t tokens = 0;
  for (int i = -1; i < repetitions; ++i) {
    Session session(engine, *pool);
    CaptionRequest request;
    request.free = true;  // every token is computed, as on the cards of others
    FASTVLM_ASSIGN(const Caption caption, session.caption(picture, request));
    tokens = caption.timings.answer_tokens;
    if (i < 0) continue;
    first.push_back(caption.timings.first_token_seconds());
    rate.push_back(caption.timings.tokens_per_second());
  }
  const Json row{{"device", device_name()},
                 {"chip", cpu_model_name()},
                 {"ram_gb", 1e-9 * static_cast<double>(memory_total())},
                 {"precision", describe_precision(engine->precision())},
                 {"threads", pool->size()},
                 {"first_token_seconds", median(first)},
                 {"tokens_per_second", median(rate)},
                 {"answer_tokens", tokens},
                 {"peak_memory_mb", 1e-6 * static_cast<double>(peak_resident_bytes())}};
  if (json) return print(row.dump(2) + "\n");
  if (csv) return print(comma_separated(Json::array({row})));
  return print(cat(
      "| device | chip | RAM | precision, threads | first token | tokens/s | peak memory |\n"
      "|---|---|---|---|---|---|---|\n| ",
      row["device"].get<std::string>(), " | ", row["chip"].get<std::string>(), " | ",
      shown(row["ram_gb"], 0), " GB | ", row["precision"].get<std::string>(), ", ", pool->size(),
      " | ", shown(row["first_token_seconds"], 2), " s | ", shown(row["tokens_per_second"], 1),
      " over ", tokens, " tokens | ", shown(row["peak_memory_mb"], 0), " MB |\n"));
}

}  // namespace

void add_bench(CLI::App& program, Command& chosen) {
  auto command = std::make_shared<BenchCommand>();
  CLI::App* app = program.add_subcommand(
      "bench", "Measure tower, prompt and answer beside the machine's limits");
  command->model.add_model_to(*app);
  app->add_option("-p,--prompt-tokens", command->prompts, "Tokens of the prompt, image included")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  app->add_option("-n,--answer-tokens", command->answers, "Tokens of the answer, after the prompt")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  app->add_option("--image-sizes", command->sides, "Sides of the tower's input [the checkpoint's]")
      ->delimiter(',')
      ->check(CLI::Range(int64_t{1}, kMostImageSide));
  app->add_option("--threads", command->threads, "Threads, one run for each [one a core]")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  app->add_option("--precision", command->precisions, "auto, fp32, bf16, int8: one run for each")
      ->delimiter(',')
      ->check(CLI::IsMember({"auto", "fp32", "bf16", "int8"}))
      ->capture_default_str();
  app->add_option("--isa", command->model.isa,
                  "Instruction set: a name from `fastvlm info` [the best]");
  app->add_option("-r,--repetitions", command->repetitions, "Of every test, after one to warm up")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app->add_option("--card", command->card_image,
                  "Caption this picture and print the row of a model card instead")
      ->check(is_not_empty());
  CLI::Option* json = app->add_flag("--json", command->json, "Print JSON");
  app->add_flag("--csv", command->csv, "Print comma-separated values")->excludes(json);
  app->callback([command, &chosen] {
    chosen = [command] {
      if (command->threads.size() == 1) command->model.threads = command->threads.front();
      if (command->precisions.size() == 1) command->model.precision = command->precisions.front();
      const Status status = command->run();
      return status.ok() ? kDone : report(status);
    };
  });
}

}  // namespace fastvlm::cli

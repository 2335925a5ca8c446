// SPDX-License-Identifier: Apache-2.0
// fastvlm dataset check, fastvlm dataset stats: what is wrong with a data set, and what it is like.
#include <algorithm>
#include <memory>

#include "caption/engine.h"
#include "caption/memory_plan.h"
#include "cli/dataset_commands.h"
#include "cli/find_model.h"
#include "cli/flags.h"
#include "cli/progress.h"
#include "dataset/check.h"
#include "vision/tower_plan.h"

namespace fastvlm::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int64_t kUsualImageTokens = 256;  // of FastViTHD at 1024
constexpr size_t kLongestBar = 40;          // characters

struct CheckCommand {
  std::vector<std::string> files;
  std::string images;
  std::string model;
  std::string tokenizer;
  int64_t image_tokens = 0;  // 0: the model's
  int64_t max_length = 0;    // 0: what training takes for that many image tokens
  bool only_stats = false;
  bool json = false;
  bool quiet = false;

  Exit run() const;
};

// Of a picture in its usual size, by the checkpoint's tower.
Result<int64_t> image_tokens_of(const fs::path& folder) {
  FASTVLM_ASSIGN(const Checkpoint checkpoint, Checkpoint::open(folder));
  if (!checkpoint.has_vision()) return kUsualImageTokens;
  const TowerPlan plan = plan_tower(checkpoint, vision_arithmetic(std::nullopt));
  FASTVLM_ASSIGN(const Preprocessing preprocessing,
                 preprocessing_of(checkpoint.config(), plan.stride, {}));
  const int64_t side = preprocessing.size / std::max<int64_t>(1, plan.stride);
  return side * side;
}

std::string histogram_text(const Spread& spread) {
  const std::vector<HistogramBar> bars = histogram_of(spread);
  size_t most = 1;
  for (const HistogramBar& bar : bars) most = std::max(most, bar.count);
  std::string text;
  for (const HistogramBar& bar : bars) {
    const std::string range = cat(bar.from, " to ", bar.from + bar.width - 1);
    text += cat("  ", std::string(range.size() < 14 ? 14 - range.size() : 0, ' '), range, "  ",
                std::string((bar.count * kLongestBar + most - 1) / most, '#'),
                bar.count > 0 ? " " : "", bar.count, "\n");
  }
  return text;
}

std::string spread_text(const Spread& spread) {
  return cat(spread.least(), " to ", spread.most(), ", median ", spread.median(), ", mean ",
             fixed(spread.mean(), 1));
}

Json spread_json(const Spread& spread) {
  if (spread.empty()) return nullptr;
  return {{"least", spread.least()},
          {"median", spread.median()},
          {"mean", spread.mean()},
          {"most", spread.most()}};
}

Json histogram_json(const Spread& spread) {
  Json bars = Json::array();
  for (const HistogramBar& bar : histogram_of(spread)) {
    bars.push_back({{"from", bar.from}, {"to", bar.from + bar.width - 1}, {"samples", bar.count}});
  }
  return bars;
}

Json statistics_json(const DatasetCheck& found, int64_t max_length) {
  Json document = {{"samples", found.samples},
                   {"pictures", found.pictures},
                   {"answers", found.answers},
                   {"distinct_answers", found.distinct_answers},
                   {"seven_sections", found.seven_sections},
                   {"free_answers", found.free_answers},
                   {"answer_words", spread_json(found.answer_words)},
                   {"tags", spread_json(found.tags)},
                   {"tokens", spread_json(found.tokens)},
                   {"token_histogram", histogram_json(found.tokens)}};
  if (!found.tokens.empty()) document["max_length"] = max_length;
  return document;
}

std::string statistics_text(const DatasetCheck& found, int64_t max_length) {
  std::string text = cat(found.samples, " samples, ", found.pictures, " pictures, ", found.answers,
                         " answers (", found.distinct_answers, " distinct)\n");
  text += cat("sections: ", found.seven_sections, " answers with all seven, ", found.free_answers,
              " of another form\n");
  if (!found.answer_words.empty()) {
    text += cat("words of an answer: ", spread_text(found.answer_words), "\n");
  }
  if (!found.tags.empty()) text += cat("tags of a question: ", spread_text(found.tags), "\n");
  if (found.tokens.empty()) return text;
  return cat(text, "tokens of a sample: ", spread_text(found.tokens), "; ", found.overlong,
             " over ", max_length, "\n", histogram_text(found.tokens));
}

// What the lengths of samples depend on.
struct Lengths {
  std::optional<Tokenizer> tokenizer;
  int64_t image_tokens = kUsualImageTokens;
  int64_t most = 0;
};

Result<Lengths> lengths_of(const CheckCommand& command) {
  Lengths lengths;
  std::string folder = command.tokenizer;
  if (!command.model.empty()) {
    FASTVLM_ASSIGN(const FoundModel found, find_model(command.model));
    if (folder.empty()) folder = found.folder.string();
    FASTVLM_ASSIGN(lengths.image_tokens, image_tokens_of(found.folder));
  }
  if (command.image_tokens > 0) lengths.image_tokens = command.image_tokens;
  // Tags, prompt and 256 image tokens alone are about 530.
  lengths.most =
      command.max_length > 0 ? command.max_length : (lengths.image_tokens <= 64 ? 512 : 1024);
  if (folder.empty()) return lengths;
  FASTVLM_ASSIGN(lengths.tokenizer, Tokenizer::load(folder));
  return lengths;
}

std::string problems_text(const DatasetCheck& found) {
  std::string text;
  for (const DatasetProblem& problem : found.problems) {
    text += cat(printable(problem.file), ":", problem.line, ": ", problem.what, "\n");
  }
  return cat(text, found.bad, " of ", found.samples, found.samples == 1 ? " sample" : " samples",
             found.bad == 1 ? " has problems\n" : " have problems\n");
}

Json problems_json(const DatasetCheck& found) {
  Json list = Json::array();
  for (const DatasetProblem& problem : found.problems) {
    list.push_back({{"file", problem.file}, {"line", problem.line}, {"problem", problem.what}});
  }
  return list;
}

Exit CheckCommand::run() const {
  std::vector<fs::path> paths;
  for (const std::string& file : files) {
    const auto found = dataset_files(file);
    if (!found.ok()) return report(found.status());
    paths.insert(paths.end(), found->begin(), found->end());
  }
  const auto lengths = lengths_of(*this);
  if (!lengths.ok()) return report(lengths.status());
  Progress progress(quiet);
  JobCounts counts;
  CheckOptions options;
  options.images = images;
  options.tokenizer = lengths->tokenizer ? &*lengths->tokenizer : nullptr;
  options.image_tokens = lengths->image_tokens;
  options.max_length = lengths->most;
  options.stop = stop_asked;
  options.progress = [&](size_t done, size_t total) {
    counts.made = done;
    counts.total = total;
    progress.show(counts);
  };
  if (!images.empty() && !fs::is_directory(images)) {
    return report(error(Code::kNotFound, cat("--images ", images, ": no such folder"),
                        "name the folder that the pictures' names start from"));
  }
  stop_politely();
  const auto found = check_dataset(paths, options);
  progress.clear();
  if (!found.ok()) return report(found.status());
  Json object = statistics_json(*found, options.max_length);
  std::string text = statistics_text(*found, options.max_length);
  if (!only_stats) {
    object["bad"] = found->bad;
    object["problems"] = problems_json(*found);
    text = problems_text(*found) + text;
  }
  const Status written =
      print(json ? object.dump(2, ' ', false, Json::error_handler_t::replace) + "\n" : text);
  if (!written.ok()) return report(written);
  if (only_stats || found->bad == 0) return kDone;
  return found->bad < found->samples ? kSomeFailed : kBadInput;
}

void add_check_options(CLI::App& app, const std::shared_ptr<CheckCommand>& command,
                       Command& chosen) {
  app.add_option("FILE", command->files, "Files of conversations, or the folder of a data set")
      ->required();
  app.add_option("--model", command->model, "Checkpoint whose tokens are counted");
  app.add_option("--tokenizer", command->tokenizer, "Folder with a tokenizer alone");
  app.add_option("--image-tokens", command->image_tokens, "Of a picture [the model's, or 256]")
      ->check(CLI::Range(1, 65536));
  app.add_option(
         "--max-length", command->max_length,
         "Most tokens of a sample, the picture's included [1024; 512 with 64 of the picture]")
      ->check(CLI::Range(1, 1 << 20));
  app.add_flag("--json", command->json, "One JSON object");
  app.add_flag("--quiet", command->quiet, "No progress");
  app.callback([command, &chosen] { chosen = [command] { return command->run(); }; });
}

}  // namespace

void add_dataset_check(CLI::App& dataset, Command& chosen) {
  auto command = std::make_shared<CheckCommand>();
  CLI::App* app = dataset.add_subcommand(
      "check", "All that is wrong with a data set, with file and line (exit codes 0, 3, 2)");
  app->add_option("--images", command->images, "Folder of the pictures: they are decoded too");
  add_check_options(*app, command, chosen);
}

void add_dataset_stats(CLI::App& dataset, Command& chosen) {
  auto command = std::make_shared<CheckCommand>();
  command->only_stats = true;
  CLI::App* app = dataset.add_subcommand("stats", "What a data set is like, in numbers");
  add_check_options(*app, command, chosen);
}

}  // namespace fastvlm::cli

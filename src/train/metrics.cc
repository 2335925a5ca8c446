// SPDX-License-Identifier: Apache-2.0
#include "train/metrics.h"

#include <nlohmann/json.hpp>

#include "base/strings.h"
#include "formats/event_file.h"
#include "formats/kept_lines.h"

namespace fastvlm {
namespace {

// Numbers that older lines lack are 0.
template <typename Number>
bool take(const nlohmann::json& line, const char* key, Number& number) {
  const auto found = line.find(key);
  if (found == line.end()) return true;
  if (found->is_number()) number = found->get<Number>();
  return found->is_number();
}

}  // namespace

double StepMetrics::tokens_per_second() const {
  return seconds > 0 ? static_cast<double>(positions) / seconds : 0;
}

std::string metrics_line(const StepMetrics& step) {
  nlohmann::ordered_json line{
      {"step", step.step},       {"loss", step.loss},     {"lr", step.rate},
      {"grad_norm", step.norm},  {"tokens", step.tokens}, {"positions", step.positions},
      {"seconds", step.seconds}, {"time", step.time},     {"rss", step.rss}};
  if (step.evaluation) line["eval_loss"] = *step.evaluation;
  return line.dump();
}

Result<std::vector<StepMetrics>> read_metrics(const std::filesystem::path& file) {
  std::vector<StepMetrics> steps;
  const auto visit = [&](std::string_view text, LinePlace) -> Status {
    const nlohmann::json line = nlohmann::json::parse(text, nullptr, false);
    StepMetrics step;
    double evaluation = 0;
    const bool good = line.is_object() && line.contains("step") && line.contains("loss") &&
                      take(line, "step", step.step) && take(line, "loss", step.loss) &&
                      take(line, "lr", step.rate) && take(line, "grad_norm", step.norm) &&
                      take(line, "tokens", step.tokens) &&
                      take(line, "positions", step.positions) &&
                      take(line, "seconds", step.seconds) && take(line, "time", step.time) &&
                      take(line, "rss", step.rss) && take(line, "eval_loss", evaluation);
    if (!good) {
      return error(Code::kInvalid,
                   cat(file.string(), ":", steps.size() + 1,
                       ": expected the numbers of a step, found ", printable(text.substr(0, 60))),
                   "it is written by `fastvlm train` alone; remove what was changed in it");
    }
    if (line.contains("eval_loss")) step.evaluation = evaluation;
    steps.push_back(step);
    return {};
  };
  FASTVLM_RETURN_IF_ERROR(visit_lines(file, visit).status());
  return steps;
}

std::string event_file(const std::vector<StepMetrics>& steps) {
  std::string file = event_file_start(steps.empty() ? 0 : steps.front().time);
  for (const StepMetrics& step : steps) {
    std::vector<std::pair<std::string_view, float>> scalars{
        {"loss", static_cast<float>(step.loss)},
        {"learning_rate", static_cast<float>(step.rate)},
        {"grad_norm", static_cast<float>(step.norm)},
        {"tokens_per_second", static_cast<float>(step.tokens_per_second())},
        {"rss", static_cast<float>(step.rss)}};
    if (step.evaluation) scalars.emplace_back("eval_loss", static_cast<float>(*step.evaluation));
    file += scalar_event(step.step, step.time, scalars);
  }
  return file;
}

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "train/run_report.h"

#include <algorithm>

#include "base/strings.h"
#include "image/thumbnail.h"
#include "train/line_chart.h"
#include "train/run_page.h"

namespace fastvlm {
namespace {

constexpr int kThumbnailWidth = 220;

using Pairs = std::vector<std::pair<std::string, std::string>>;

std::string duration_text(double seconds) {
  if (seconds < 120) return cat(fixed(seconds, 0), " s");
  if (seconds < 7200) return cat(fixed(seconds / 60, 1), " min");
  return cat(fixed(seconds / 3600, 2), " h");
}

std::string table(const std::string& title, const Pairs& rows) {
  if (rows.empty()) return {};
  std::string text = cat("<div><table><caption>", html_text(title), "</caption>\n");
  for (const auto& [name, value] : rows) {
    text += cat("<tr><th scope=\"row\">", html_text(name), "</th><td>", html_text(value),
                "</td></tr>\n");
  }
  return text + "</table></div>\n";
}

template <typename Value>
ChartSeries series(const std::string& name, const std::vector<StepMetrics>& steps,
                   const Value& value) {
  ChartSeries result{name, {}};
  for (const StepMetrics& step : steps) {
    result.points.emplace_back(static_cast<double>(step.step), value(step));
  }
  return result;
}

ChartSeries evaluation_series(const std::vector<StepMetrics>& steps) {
  ChartSeries result{"evaluation", {}};
  for (const StepMetrics& step : steps) {
    if (step.evaluation) {
      result.points.emplace_back(static_cast<double>(step.step), *step.evaluation);
    }
  }
  return result;
}

std::string charts(const std::vector<StepMetrics>& steps) {
  const auto loss = series("training", steps, [](const auto& step) { return step.loss; });
  const auto rate = series("rate", steps, [](const auto& step) { return step.rate; });
  const auto norm = series("length", steps, [](const auto& step) { return step.norm; });
  const auto speed =
      series("speed", steps, [](const auto& step) { return step.tokens_per_second(); });
  const auto memory = series("memory", steps,
                             [](const auto& step) { return 1e-6 * static_cast<double>(step.rss); });
  return to_html({"Loss", "nats a token", false, {loss, evaluation_series(steps)}}) +
         to_html({"Learning rate", "per step", true, {rate}}) +
         to_html({"Gradient", "length before it is scaled down", true, {norm}}) +
         to_html({"Speed", "tokens a second", true, {speed}}) +
         to_html({"Memory", "MB", true, {memory}});
}

double median_speed(const std::vector<StepMetrics>& steps) {
  std::vector<double> speeds;
  for (const StepMetrics& step : steps) speeds.push_back(step.tokens_per_second());
  std::sort(speeds.begin(), speeds.end());
  return speeds[speeds.size() / 2];
}

Pairs facts(const RunRecord& record, const std::vector<StepMetrics>& steps) {
  Pairs rows;
  const size_t done = steps.size();
  rows.emplace_back("steps", record.steps > 0 ? cat(done, " of ", record.steps) : cat(done));
  if (!steps.empty()) {
    rows.emplace_back("loss",
                      cat(fixed(steps.front().loss, 3), " → ", fixed(steps.back().loss, 3)));
    const ChartSeries kept = evaluation_series(steps);
    if (!kept.points.empty()) {
      const auto lowest =
          std::min_element(kept.points.begin(), kept.points.end(),
                           [](const auto& a, const auto& b) { return a.second < b.second; });
      rows.emplace_back("evaluation loss",
                        cat(fixed(kept.points.back().second, 3), ", lowest ",
                            fixed(lowest->second, 3), " at step ", lowest->first));
    }
    rows.emplace_back("tokens a second", cat(significant(median_speed(steps)), " (median)"));
  }
  const RunCost cost = cost_of(record);
  rows.emplace_back("time", duration_text(cost.seconds));
  if (cost.peak_memory > 0) {
    rows.emplace_back("peak memory", megabytes(static_cast<double>(cost.peak_memory)));
  }
  if (cost.joules_seconds > 0) {
    rows.emplace_back("energy", cat(significant(cost.kilowatt_hours()), " kWh"));
    if (record.grams_per_kwh) {
      rows.emplace_back("CO2e",
                        cat(significant(cost.kilowatt_hours() * *record.grams_per_kwh), " g"));
    }
  }
  return rows;
}

std::string facts_html(const Pairs& rows) {
  std::string text = "<dl>\n";
  for (const auto& [name, value] : rows) {
    text += cat("<div><dt>", html_text(name), "</dt><dd>", html_text(value), "</dd></div>\n");
  }
  return text + "</dl>\n";
}

std::string sample_html(const SampleAnswer& sample) {
  const std::string picture = thumbnail(sample.picture, kThumbnailWidth);
  const std::string name = html_text(sample.picture.filename().string());
  std::string text = cat("<article>\n<div class=\"picture\">");
  if (!picture.empty()) text += cat("<img src=\"", picture, "\" alt=\"", name, "\">");
  text += cat("<p>", name, "</p></div>\n");
  for (const auto& [title, answer] :
       {std::pair("before", &sample.before), std::pair("after", &sample.after),
        std::pair("the sample's own answer", &sample.expected)}) {
    text += cat("<section><h3>", title, "</h3><p class=\"answer\">",
                answer->empty() ? "(empty)" : html_text(*answer), "</p></section>\n");
  }
  return text + "</article>\n";
}

std::string samples_html(const SampleAnswers& samples) {
  if (samples.answers.empty()) return {};
  std::string text =
      cat("<h2>Answers before and after</h2>\n<p class=\"about\">Of ", samples.answers.size(),
          samples.learnt ? " samples that were learnt, as there were no others: they show what was "
                           "learnt by heart, not what is known."
                         : " samples of the evaluation, which were not learnt.",
          " Greedy, without a schema.</p>\n");
  for (const SampleAnswer& sample : samples.answers) text += sample_html(sample);
  return text;
}

Pairs data_rows(const RunData& data) {
  return {{"file", data.file},
          {"samples", with_thousands(data.samples)},
          {"pictures", with_thousands(data.pictures)},
          {"supervised tokens", with_thousands(data.tokens)}};
}

Pairs model_rows(const RunRecord& record) {
  Pairs rows{{"name", record.model}, {"weights", record.weights}, {"SHA-256", record.sha256}};
  if (!record.source.empty()) rows.emplace_back("from", record.source);
  if (!record.license.empty()) rows.emplace_back("licence", record.license);
  rows.emplace_back("parameters trained", with_thousands(record.trained_parameters));
  return rows;
}

std::string machines(const RunRecord& record) {
  std::vector<std::string> names;
  for (const RunPart& part : record.parts) {
    std::string name =
        cat(part.processor, ", ", part.threads, part.threads == 1 ? " thread" : " threads");
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return joined(names, "; ");
}

}  // namespace

std::vector<std::string> cost_sentences(const RunRecord& record) {
  const RunCost cost = cost_of(record);
  std::vector<std::string> sentences;
  sentences.push_back(cat("Time: ", significant(cost.hours()), " h on ", machines(record),
                          record.parts.size() > 1 ? cat(", in ", record.parts.size(),
                                                        " parts, steps done twice included.")
                                                  : "."));
  if (cost.joules_seconds <= 0) {
    sentences.emplace_back(
        "Energy and emissions: not known, for the processor's counters cannot be read here and no "
        "power was given (`--watts`).");
    return sentences;
  }
  const char* how = !cost.stated     ? "measured by the processor's counters (RAPL, packages and "
                                       "memory, whichever programs used them)"
                    : !cost.measured ? "the power that was given (`--watts`) times the time"
                                     : "in part measured by the processor's counters (RAPL), in "
                                       "part the power that was given (`--watts`) times the time";
  std::string energy = cat("Energy: ", significant(cost.kilowatt_hours()), " kWh, ", how);
  if (cost.joules_seconds < cost.seconds * 0.999) {
    energy +=
        cat(", of ", significant(cost.joules_seconds / 3600), " h; that of the rest is not known");
  }
  sentences.push_back(energy + ".");
  if (!record.grams_per_kwh) {
    sentences.emplace_back("Emissions: not known, for no region was given (`--region`).");
    return sentences;
  }
  sentences.push_back(cat("Emissions: ", significant(cost.kilowatt_hours() * *record.grams_per_kwh),
                          " g CO2e at ", significant(*record.grams_per_kwh), " g/kWh",
                          record.region.empty()
                              ? std::string(", the number that was given.")
                              : cat(", the mean of ", record.region, " in 2023.")));
  sentences.emplace_back(
      "Method: power × hours × carbon intensity of the grid (Lacoste et al. 2019, "
      "arXiv:1910.09700). Cooling, and the making of the machine, are not in it.");
  return sentences;
}

std::string run_report(const std::string& name, const RunRecord& record,
                       const std::vector<StepMetrics>& steps, const SampleAnswers& samples) {
  std::string body = cat("<h1>Training run ", html_text(name), "</h1>\n<p class=\"about\">",
                         html_text(record.model), ", by ", html_text(record.program), "</p>\n",
                         facts_html(facts(record, steps)));
  body += cat("<div class=\"charts\">\n", charts(steps), "</div>\n", samples_html(samples));
  body += "<h2>What was trained</h2>\n<div class=\"tables\">\n" +
          table("Model", model_rows(record)) + table("Data", data_rows(record.data));
  if (record.evaluation) body += table("Evaluation data", data_rows(*record.evaluation));
  body += table("How the data was made", record.data_made) + table("Settings", record.settings);
  body += "</div>\n<h2>What it took</h2>\n";
  for (const std::string& sentence : cost_sentences(record)) {
    body += cat("<p>", html_text(sentence), "</p>\n");
  }
  std::string page(run_page_text());
  page.replace(page.find(kPageBody), kPageBody.size(), body);
  return page.replace(page.find(kPageTitle), kPageTitle.size(), html_text(name));
}

}  // namespace fastvlm

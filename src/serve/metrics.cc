// SPDX-License-Identifier: Apache-2.0
#include "serve/metrics.h"

#include <algorithm>

#include "base/strings.h"

namespace fastvlm {
namespace {

void head(std::string_view name, std::string_view help, std::string_view type, std::string& text) {
  text += cat("# HELP fastvlm_", name, " ", help, "\n# TYPE fastvlm_", name, " ", type, "\n");
}

void one(std::string_view name, std::string_view help, std::string_view type, double value,
         std::string& text) {
  head(name, help, type, text);
  std::ostringstream number;
  number.precision(15);
  number << value;
  text += cat("fastvlm_", name, " ", number.str(), "\n");
}

}  // namespace

void Metrics::Histogram::add(double seconds) {
  const auto bucket = std::lower_bound(kBounds.begin(), kBounds.end(), seconds);
  ++counts[static_cast<size_t>(bucket - kBounds.begin())];
  sum += seconds;
}

void Metrics::Histogram::write(std::string_view name, std::string_view help,
                               std::string& text) const {
  head(name, help, "histogram", text);
  uint64_t so_far = 0;
  for (size_t i = 0; i < kBounds.size(); ++i) {
    so_far += counts[i];
    text += cat("fastvlm_", name, "_bucket{le=\"", kBounds[i], "\"} ", so_far, "\n");
  }
  so_far += counts.back();
  text += cat("fastvlm_", name, "_bucket{le=\"+Inf\"} ", so_far, "\nfastvlm_", name, "_sum ", sum,
              "\nfastvlm_", name, "_count ", so_far, "\n");
}

void Metrics::count_request(std::string_view route, int status) {
  const std::lock_guard lock(mutex_);
  ++requests_[{std::string(route), status}];
}

void Metrics::time_request(double seconds) {
  const std::lock_guard lock(mutex_);
  durations_.add(seconds);
  recent_ = recent_ == 0 ? seconds : 0.8 * recent_ + 0.2 * seconds;
}

void Metrics::time_first_text(double seconds) {
  const std::lock_guard lock(mutex_);
  first_texts_.add(seconds);
}

void Metrics::count_tokens(int64_t prompt, int64_t answer) {
  const std::lock_guard lock(mutex_);
  prompt_tokens_ += prompt;
  answer_tokens_ += answer;
}

double Metrics::mean_request_seconds() const {
  const std::lock_guard lock(mutex_);
  return recent_;
}

std::string Metrics::text(const std::vector<Gauge>& gauges) const {
  const std::lock_guard lock(mutex_);
  std::string text;
  head("requests_total", "Requests that were answered.", "counter", text);
  for (const auto& [key, count] : requests_) {
    text += cat("fastvlm_requests_total{route=\"", key.first, "\",status=\"", key.second, "\"} ",
                count, "\n");
  }
  durations_.write("request_seconds", "From the arrival of a picture to the end of its answer.",
                   text);
  first_texts_.write("first_text_seconds", "From the arrival of a picture to the first text.",
                     text);
  one("prompt_tokens_total", "Tokens of prompts, pictures included.", "counter",
      static_cast<double>(prompt_tokens_), text);
  one("answer_tokens_total", "Tokens of answers.", "counter", static_cast<double>(answer_tokens_),
      text);
  for (const Gauge& gauge : gauges) {
    one(gauge.name, gauge.help, gauge.counter ? "counter" : "gauge", gauge.value, text);
  }
  return text;
}

}  // namespace fastvlm

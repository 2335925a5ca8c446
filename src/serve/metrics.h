// SPDX-License-Identifier: Apache-2.0
// What a server has done so far, in the text form that Prometheus reads.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fastvlm {

class Metrics {
 public:
  // `route` is one of the server's own names, never what a client sent.
  void count_request(std::string_view route, int status);
  // Seconds from the request's arrival to the end of its answer.
  void time_request(double seconds);
  // Seconds from the request's arrival to the first text.
  void time_first_text(double seconds);
  void count_tokens(int64_t prompt, int64_t answer);
  double mean_request_seconds() const;  // of the last ones, more or less; 0: there were none

  struct Gauge {
    std::string name;  // without "fastvlm_"
    std::string help;
    double value = 0;
    bool counter = false;  // it only grows
  };
  std::string text(const std::vector<Gauge>& gauges) const;

 private:
  static constexpr std::array<double, 12> kBounds = {0.025, 0.05, 0.1, 0.25, 0.5, 1,
                                                     2.5,   5,    10,  25,   60,  120};
  struct Histogram {
    std::array<uint64_t, kBounds.size() + 1> counts{};  // of each bucket alone
    double sum = 0;

    void add(double seconds);
    void write(std::string_view name, std::string_view help, std::string& text) const;
  };

  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;
  Histogram durations_;
  Histogram first_texts_;
  int64_t prompt_tokens_ = 0;
  int64_t answer_tokens_ = 0;
  double recent_ = 0;
};

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
// Curves over steps as inline SVG, without scripts; colors are those of the page around it (classes
// `first` and `second`). Thousands of points are thinned out so that peaks stay.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fastvlm {

struct ChartSeries {
  std::string name;
  std::vector<std::pair<double, double>> points;  // step, value; steps rise; all finite
};

struct LineChart {
  std::string title;
  std::string unit;                 // of the values
  bool from_zero = false;           // the axis of values begins there
  std::vector<ChartSeries> series;  // one or two, the second with a mark at each point
};

// A figure with its caption; empty where no series has a point.
std::string to_html(const LineChart& chart);

// Text as HTML shows it, in elements and attributes.
std::string html_text(std::string_view text);

}  // namespace fastvlm

// SPDX-License-Identifier: Apache-2.0
#include "train/line_chart.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/strings.h"

namespace fastvlm {
namespace {

// In units of the drawing, which grows and shrinks with the page.
constexpr double kWidth = 400;
constexpr double kHeight = 230;
constexpr double kLeft = 54;
constexpr double kRight = 390;
constexpr double kTop = 24;
constexpr double kBottom = 192;
constexpr size_t kMostPoints = 600;

struct Axis {
  double low = 0;
  double high = 1;
  double step = 1;  // from mark to mark
};

// Round numbers around the values: about `marks` steps of 1, 2 or 5 times a power of ten.
Axis make_axis(double low, double high, int marks, double least_step) {
  if (high <= low) high = low + (low == 0 ? 1 : std::abs(low) / 10);
  const double rough = std::max((high - low) / marks, least_step);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double ratio = rough / power;
  const double step = power * (ratio <= 1 ? 1 : ratio <= 2 ? 2 : ratio <= 5 ? 5 : 10);
  return {step * std::floor(low / step), step * std::ceil(high / step), step};
}

// A mark's number, as exact as the steps between marks; powers of ten where that would be too long.
std::string number(double value, double step) {
  const int digits = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  if (digits <= 5 && std::abs(value) < 1e7) return fixed(value, digits);
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

// The lowest and the highest of each stretch, in their order.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& all) {
  if (all.size() <= kMostPoints) return all;
  std::vector<std::pair<double, double>> kept;
  const size_t stretches = kMostPoints / 2;
  const auto lower = [](const auto& a, const auto& b) { return a.second < b.second; };
  for (size_t i = 0; i < stretches; ++i) {
    const auto at = [&](size_t n) {
      return all.begin() + static_cast<std::ptrdiff_t>(n * all.size() / stretches);
    };
    auto [low, high] = std::minmax_element(at(i), at(i + 1), lower);
    if (high < low) std::swap(low, high);
    kept.push_back(*low);
    if (high != low) kept.push_back(*high);
  }
  return kept;
}

class Drawing {
 public:
  explicit Drawing(const LineChart& chart) : chart_(chart) {
    double first = std::numeric_limits<double>::infinity();
    double last = -first;
    double low = chart.from_zero ? 0 : first;
    double high = -first;
    for (const ChartSeries& series : chart.series) {
      for (const auto& [step, value] : series.points) {
        first = std::min(first, step);
        last = std::max(last, step);
        low = std::min(low, value);
        high = std::max(high, value);
      }
    }
    y_ = make_axis(low, high, 4, 0);
    x_ = make_axis(first, last, 5, 1);
    x_.low = first;  // curves reach from side to side
    x_.high = last > first ? last : first + 1;
  }

  std::string draw() const {
    std::string text = cat("<svg viewBox=\"0 0 ", kWidth, " ", kHeight,
                           "\" role=\"img\" aria-label=\"", html_text(spoken()), "\">\n", axes());
    for (size_t i = 0; i < chart_.series.size(); ++i) text += curve(chart_.series[i], i > 0);
    return text + "</svg>\n";
  }

 private:
  double x(double step) const {
    return kLeft + (kRight - kLeft) * (step - x_.low) / (x_.high - x_.low);
  }
  double y(double value) const {
    return kBottom - (kBottom - kTop) * (value - y_.low) / (y_.high - y_.low);
  }

  std::string axes() const {
    std::string text = cat("<text class=\"unit\" x=\"4\" y=\"12\">", html_text(chart_.unit),
                           "</text>\n<text x=\"", fixed((kLeft + kRight) / 2, 1), "\" y=\"",
                           kHeight - 6, "\" text-anchor=\"middle\">step</text>\n");
    const auto count = static_cast<int>(std::lround((y_.high - y_.low) / y_.step));
    for (int i = 0; i <= count; ++i) {
      const double value = y_.low + i * y_.step;
      text += cat("<path class=\"grid\" d=\"M", kLeft, " ", fixed(y(value), 1), "H", kRight,
                  "\"/><text x=\"", kLeft - 6, "\" y=\"", fixed(y(value) + 4, 1),
                  "\" text-anchor=\"end\">",
                  number(std::abs(value) < y_.step / 1e6 ? 0 : value, y_.step), "</text>\n");
    }
    for (double step = x_.step * std::ceil(x_.low / x_.step); step <= x_.high; step += x_.step) {
      text += cat("<path class=\"tick\" d=\"M", fixed(x(step), 1), " ", kBottom, "v4\"/><text x=\"",
                  fixed(x(step), 1), "\" y=\"", kBottom + 17, "\" text-anchor=\"middle\">",
                  number(step, x_.step), "</text>\n");
    }
    return text + cat("<path class=\"tick\" d=\"M", kLeft, " ", kBottom, "H", kRight, "\"/>\n");
  }

  std::string curve(const ChartSeries& series, bool second) const {
    const char* name = second ? "second" : "first";
    std::string line;
    std::string marks;
    const auto points = thinned(series.points);
    for (const auto& [step, value] : points) {
      const std::string at_x = fixed(x(step), 1);
      const std::string at_y = fixed(y(value), 1);
      line += cat(line.empty() ? "" : " ", at_x, ",", at_y);
      if (!second && points.size() > 1) continue;
      marks += cat("<circle class=\"", name, "\" cx=\"", at_x, "\" cy=\"", at_y, "\" r=\"3\"/>\n");
    }
    return cat("<polyline class=\"", name, "\" points=\"", line, "\"/>\n", marks);
  }

  // What it shows, for those who hear it.
  std::string spoken() const {
    std::string text = cat(chart_.title, " in ", chart_.unit);
    for (const ChartSeries& series : chart_.series) {
      if (series.points.empty()) continue;
      text += cat("; ", series.name, ": ", significant(series.points.front().second), " at step ",
                  series.points.front().first, ", ", significant(series.points.back().second),
                  " at step ", series.points.back().first);
    }
    return text;
  }

  const LineChart& chart_;
  Axis x_;
  Axis y_;
};

}  // namespace

std::string to_html(const LineChart& chart) {
  LineChart shown = chart;
  std::erase_if(shown.series, [](const ChartSeries& series) { return series.points.empty(); });
  if (shown.series.empty()) return {};
  std::string text = cat("<figure>\n<figcaption>", html_text(chart.title));
  for (size_t i = 0; shown.series.size() > 1 && i < shown.series.size(); ++i) {
    text += cat(" <span class=\"", i > 0 ? "second" : "first", "\">",
                html_text(shown.series[i].name), "</span>");
  }
  return text + "</figcaption>\n" + Drawing(shown).draw() + "</figure>\n";
}

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '&') {
      out += "&amp;";
    } else if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace fastvlm

// Bar charts: as text, as HTML, as pixels.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "muster/image.hpp"

namespace muster::cli {

struct Bar {
  std::string label;
  std::uint64_t count = 0;
  double marked = 0;  // share of the bar in the second colour, 0 … 1
  std::string note;   // behind the count
};

struct BarChart {
  std::string title;
  std::string unit;    // of the counts: "images"
  std::string marked;  // what the second colour means; empty: there is none
  std::vector<Bar> bars;
  std::string remark;  // a line below
};

/// For a terminal: a line for each bar, the marked part drawn with another letter.
std::string to_text(const BarChart& chart);
/// A table whose rows hold the bars; needs chart_style.
std::string to_html(const BarChart& chart);
extern const char* const chart_style;
/// All of them below one another under a headline and some lines of text. RGB.
Image draw_charts(const std::string& headline, const std::vector<std::string>& lines, std::span<const BarChart> charts);

}  // namespace muster::cli

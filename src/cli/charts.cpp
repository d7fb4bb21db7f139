#include "charts.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "../preview/canvas.hpp"
#include "../preview/markup.hpp"
#include "../preview/style.hpp"

namespace muster::cli {
namespace {

using markup::escape;
using markup::isolated;

std::uint64_t most_of(const BarChart& chart) {
  std::uint64_t most = 1;
  for (const Bar& bar : chart.bars) most = std::max(most, bar.count);
  return most;
}

/// The length of a bar, in pieces of which the longest has `full`; what is not nothing has one at least.
std::uint64_t length_of(std::uint64_t count, std::uint64_t most, std::uint64_t full) {
  return static_cast<std::uint64_t>(
      (static_cast<double>(count) * static_cast<double>(full) + static_cast<double>(most) - 1) /
      static_cast<double>(most));
}

std::uint64_t marked_length(const Bar& bar, std::uint64_t length) {
  if (bar.marked <= 0) return 0;
  const auto rounded = static_cast<std::uint64_t>(bar.marked * static_cast<double>(length) + 0.5);
  return std::clamp<std::uint64_t>(rounded, 1, std::max<std::uint64_t>(1, length));
}

constexpr Colour bar_colour = {112, 158, 200};
constexpr Colour marked_colour = {178, 86, 0};

}  // namespace

const char* const chart_style = R"css(
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(520px,100%),1fr));gap:0 40px}
.chart table{width:100%;table-layout:fixed}
.chart td,.chart th{border:0;padding:2px 12px 2px 0;font-size:13px;font-weight:400}
.chart .label{width:13em}.chart .count{width:6em;text-align:right}.chart .note{width:11em;white-space:nowrap}
.bar{display:flex;height:14px;min-width:1px;background:var(--bar);border-radius:0 2px 2px 0;overflow:hidden}
.bar i{display:block;background:var(--marked)}
.key{display:inline-block;width:12px;height:12px;margin:0 6px -1px 0;background:var(--marked)}
.chart tr:hover{background:var(--line)}
:root{--bar:#709ec8;--marked:#b25600}
@media (prefers-color-scheme:dark){:root{--bar:#4c7ba8;--marked:#e0913c}}
@media print{:root{--bar:#709ec8;--marked:#b25600}}
)css";

std::string to_text(const BarChart& chart) {
  constexpr std::uint64_t full = 40;
  std::size_t label_width = std::max<std::size_t>(16, chart.title.size());
  for (const Bar& bar : chart.bars) label_width = std::max(label_width, bar.label.size());
  std::string lines = fmt::format("\n  {:<{}}{:>10}", chart.title, label_width, chart.unit);
  lines += chart.marked.empty() ? "\n" : fmt::format("  {}: =\n", chart.marked);
  const std::uint64_t most = most_of(chart);
  for (const Bar& bar : chart.bars) {
    const std::uint64_t length = length_of(bar.count, most, full);
    const std::uint64_t marked = marked_length(bar, length);
    std::string line = fmt::format("  {:<{}}{:>10}  ", bar.label, label_width, bar.count);
    line += std::string(marked, '=') + std::string(length - std::min(marked, length), '#');
    if (!bar.note.empty()) line += (length > 0 ? "  " : "") + bar.note;
    line.erase(line.find_last_not_of(' ') + 1);
    lines += line + '\n';
  }
  return chart.remark.empty() ? lines : lines + "  " + chart.remark + '\n';
}

std::string to_html(const BarChart& chart) {
  const std::uint64_t most = most_of(chart);
  std::string rows;
  for (const Bar& bar : chart.bars) {
    const double width = 100.0 * static_cast<double>(bar.count) / static_cast<double>(most);
    const std::string marked = bar.marked > 0 ? fmt::format("<i style=\"width:{:.2f}%\"></i>", 100 * bar.marked) : "";
    rows += fmt::format(
        "<tr><th class=\"label num\" scope=\"row\">{}</th><td class=\"count num\">{}</td><td><div class=\"bar\" "
        "style=\"width:{:.2f}%\">{}</div></td><td class=\"note num\">{}</td></tr>\n",
        isolated(bar.label), bar.count, bar.count == 0 ? 0 : width, marked, escape(bar.note));
  }
  std::string text = fmt::format("<section class=\"chart keep\">\n<h2>{} <span class=\"faint\">· {}</span></h2>\n",
                                 escape(chart.title), escape(chart.unit));
  if (!chart.marked.empty()) {
    text += fmt::format("<p class=\"faint\"><span class=\"key\"></span>{}</p>\n", escape(chart.marked));
  }
  text += "<table>\n" + rows + "</table>\n";
  if (!chart.remark.empty()) text += "<p class=\"faint\">" + escape(chart.remark) + "</p>\n";
  return text + "</section>\n";
}

Image draw_charts(const std::string& headline, const std::vector<std::string>& lines,
                  std::span<const BarChart> charts) {
  using namespace style;
  constexpr std::int64_t width = 960, label_width = 210, count_width = 80, note_width = 150;
  constexpr std::int64_t bar_width = width - 2 * margin - label_width - count_width - note_width - 2 * gap;
  constexpr int title_height = 10;
  std::int64_t height = 2 * margin + 2 * line_height + static_cast<std::int64_t>(lines.size()) * line_height;
  for (const BarChart& chart : charts) {
    height += static_cast<std::int64_t>(chart.bars.size() + (chart.remark.empty() ? 3 : 4)) * line_height + gap;
  }
  Canvas canvas({height, width}, paper);
  std::int64_t y = margin;
  const auto write = [&](std::string_view text, std::int64_t x, Colour colour, std::int64_t room) {
    canvas.draw_text(fit_text(text, text_height, room), y + 3, x, text_height, colour);
  };
  canvas.draw_text(fit_text(headline, title_height, width - 2 * margin), y, margin, title_height, ink);
  y += 2 * line_height;
  for (const std::string& line : lines) {
    write(line, margin, faint_ink, width - 2 * margin);
    y += line_height;
  }
  for (const BarChart& chart : charts) {
    y += gap + line_height;
    write(chart.title, margin, ink, label_width);
    const std::string unit = fit_text(chart.unit, text_height, count_width);
    write(unit, margin + label_width + count_width - text_width(unit, text_height), faint_ink, count_width);
    if (!chart.marked.empty()) {
      const std::int64_t x = margin + label_width + count_width + gap;
      canvas.fill({y + 2, x, 10, 10}, marked_colour);
      write(chart.marked, x + 16, faint_ink, width - margin - x - 16);
    }
    y += line_height + 4;
    const std::uint64_t most = most_of(chart);
    for (const Bar& bar : chart.bars) {
      write(bar.label, margin, ink, label_width - gap);
      const std::string count = std::to_string(bar.count);
      write(count, margin + label_width + count_width - text_width(count, text_height), ink, count_width);
      const auto length = static_cast<std::int64_t>(length_of(bar.count, most, bar_width));
      const auto marked = static_cast<std::int64_t>(marked_length(bar, static_cast<std::uint64_t>(length)));
      const std::int64_t x = margin + label_width + count_width + gap;
      canvas.fill({y + 1, x, 12, length}, bar_colour);
      canvas.fill({y + 1, x, 12, std::min(marked, length)}, marked_colour);
      write(bar.note, x + length + gap, faint_ink, width - margin - x - length - gap);
      y += line_height;
    }
    if (!chart.remark.empty()) {
      write(chart.remark, margin, faint_ink, width - 2 * margin);
      y += line_height;
    }
    y += line_height - 4;
  }
  return std::move(canvas).take();
}

}  // namespace muster::cli

#include "survey_charts.hpp"

#include <algorithm>
#include <functional>
#include <string>

#include <fmt/format.h>

namespace muster::cli {
namespace {

std::string percent(double share) {
  const double value = 100 * share;
  return value > 0 && value < 0.1 ? "<0.1 %" : fmt::format("{:.1f} %", value);
}

double ratio(std::uint64_t part, std::uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::string describe_enlargement(const Survey& survey) {
  const Enlargement& enlargement = survey.enlargement;
  if (enlargement.num_draws == 0) return "no image could be planned";
  std::string text =
      enlargement.num_enlarged == 0
          ? fmt::format("nothing is enlarged in {} epochs", enlargement.num_epochs)
          : fmt::format(
                "{} of the samples of {} epochs are enlarged, at most {:.1f}x: {} images at least once, {} always",
                percent(enlargement.share()), enlargement.num_epochs, enlargement.max, enlargement.num_images_ever,
                enlargement.num_images_always);
  if (enlargement.num_failed > 0) text += fmt::format("; a stage refuses {} samples", enlargement.num_failed);
  return text;
}

/// Those that cannot be read included.
BarChart format_chart(const Survey& survey) {
  BarChart chart{.title = "format", .unit = "images", .marked = {}, .bars = {}, .remark = {}};
  for (const auto& [format, count] : survey.formats) chart.bars.push_back({format, count, 0, ""});
  if (!survey.failures.empty()) chart.bars.push_back({"unreadable", survey.failures.size(), 0, ""});
  return chart;
}

}  // namespace

BarChart side_chart(const Survey& survey) {
  BarChart chart{
      .title = "shorter side", .unit = "images", .marked = "share of draws that enlarge", .bars = {}, .remark = {}};
  for (const SideBin& bin : survey.shorter_sides) {
    const double share = ratio(bin.num_enlarged, bin.num_draws);
    chart.bars.push_back({fmt::format("{} - {}", bin.from, bin.to), bin.num_images, share,
                          bin.num_enlarged > 0 ? percent(share) + " enlarged" : ""});
  }
  return chart;
}

BarChart aspect_chart(const Survey& survey) {
  BarChart chart{.title = "width / height", .unit = "images", .marked = {}, .bars = {}, .remark = {}};
  for (const AspectBin& bin : survey.aspects) {
    const std::string label = bin.to > 1e6    ? fmt::format("{:.2f} and more", bin.from)
                              : bin.from == 0 ? fmt::format("below {:.2f}", bin.to)
                                              : fmt::format("{:.2f} - {:.2f}", bin.from, bin.to);
    chart.bars.push_back({label, bin.num_images, 0, ""});
  }
  return chart;
}

BarChart class_chart(const Survey& survey, std::size_t most_shown) {
  BarChart chart{.title = "class", .unit = "images", .marked = {}, .bars = {}, .remark = {}};
  std::vector<ClassCount> classes = survey.classes;
  const bool all = classes.size() <= most_shown;
  if (!all) std::ranges::stable_sort(classes, std::greater{}, &ClassCount::num_images);
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (!all && i >= most_shown / 2 && i < classes.size() - most_shown / 2) continue;
    const ClassCount& entry = classes[i];
    const std::string label =
        entry.name.empty() ? fmt::format("{}", entry.label) : fmt::format("{}  {}", entry.label, entry.name);
    chart.bars.push_back({label, entry.num_images, 0, ""});
  }
  if (!all) {
    chart.remark = fmt::format("the {} largest and the {} smallest of {} classes; --json lists all", most_shown / 2,
                               most_shown / 2, classes.size());
  }
  return chart;
}

BarChart enlargement_chart(const Survey& survey) {
  BarChart chart{.title = "what the pipeline does",
                 .unit = "samples",
                 .marked = "enlarged",
                 .bars = {},
                 .remark = describe_enlargement(survey)};
  for (const EnlargementBin& bin : survey.enlargement.bins) {
    if (bin.num_draws == 0) continue;
    chart.bars.push_back({bin.label, bin.num_draws, bin.enlarges ? 1.0 : 0.0,
                          percent(ratio(bin.num_draws, survey.enlargement.num_draws))});
  }
  return chart;
}

std::vector<BarChart> all_charts(const Survey& survey, std::size_t most_classes) {
  return {format_chart(survey), side_chart(survey), aspect_chart(survey), enlargement_chart(survey),
          class_chart(survey, most_classes)};
}

}  // namespace muster::cli

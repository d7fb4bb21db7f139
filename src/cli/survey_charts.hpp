// The counts of a survey as bar charts.
#pragma once

#include <cstddef>
#include <vector>

#include "charts.hpp"
#include "survey.hpp"

namespace muster::cli {

/// Images by their shorter side, and how many of their draws enlarge.
BarChart side_chart(const Survey& survey);
/// Images by width / height.
BarChart aspect_chart(const Survey& survey);
/// Images by class: of all, or of more than `most_shown` the largest and the smallest.
BarChart class_chart(const Survey& survey, std::size_t most_shown);
/// Draws by how much they shrink or enlarge.
BarChart enlargement_chart(const Survey& survey);
/// All of these, and images by format.
std::vector<BarChart> all_charts(const Survey& survey, std::size_t most_classes);

}  // namespace muster::cli

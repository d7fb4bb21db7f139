// Plans and labels in words, as captions of pictures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "muster/pipeline.hpp"

namespace muster {

/// "y 103  x 46  154x177"; with "or so" where an opaque stage takes part.
std::string describe_window(const Plan& plan);
/// How many pixels of the output one of the source becomes, on the axis that is stretched more.
double enlargement(const Plan& plan);
/// Flips, enlargement and padding that there are: "flipped, enlarged 1.45x, padded".
std::string describe_changes(const Plan& plan);
/// What pixel stages drew, in their own words, and the names of those without: "brightness 1.12, Speckle"; without
/// those that drew nothing to speak of. Empty for a plan of another pipeline.
std::string describe_drawn(const Plan& plan, const Pipeline& pipeline);
/// The name of the label's class, or "label 3".
std::string describe_label(std::int64_t label, const std::vector<std::string>& classes);
/// The stages that make values of pixels: "Normalize", "ToFloat, Normalize"; empty where there is none.
std::string value_stages(const Pipeline& pipeline);
/// A line for each stage: "RandomCrop  40x60 to 32x32: crop 32x32 at y 3, x 5". The plan must be the
/// pipeline's.
std::vector<std::string> describe_stages(const Plan& plan, const Pipeline& pipeline);

}  // namespace muster

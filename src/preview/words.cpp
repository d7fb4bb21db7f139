#include "preview/words.hpp"

#include <algorithm>
#include <cmath>
#include <exception>
#include <optional>

#include <fmt/format.h>

namespace muster {
namespace {

std::string describe(const Step& step) {
  if (const auto* crop = std::get_if<Crop>(&step)) {
    return fmt::format("crop {} at y {}, x {}", to_string(crop->window.size()), crop->window.y, crop->window.x);
  }
  if (const auto* flip = std::get_if<Flip>(&step)) {
    if (flip->horizontal && flip->vertical) return "turn by 180";
    return flip->vertical ? "flip top and bottom" : flip->horizontal ? "flip left and right" : "keep";
  }
  if (const auto* border = std::get_if<Border>(&step)) {
    const Padding& padding = border->padding;
    return fmt::format("pad left {}, top {}, right {}, bottom {} ({})", padding.left, padding.top, padding.right,
                       padding.bottom, name(border->mode));
  }
  const Resample& resample = std::get<Resample>(step);
  return fmt::format("resample to {} ({})", to_string(resample.size), name(resample.interpolation));
}

/// What a pixel stage says of its parameters; nothing if it has no words.
std::optional<std::string> words_of(const Stage& stage, const PlannedStage& planned) {
  try {
    return stage.describe(planned.params.get());
  } catch (const std::exception& error) {
    return fmt::format("{} (describe failed: {})", stage.name(), error.what());
  }
}

std::string describe(const PlannedStage& planned, const Stage& stage) {
  if (stage.kind() == StageKind::opaque) return "opaque, draws as it goes";
  if (stage.kind() == StageKind::pixel) {
    const auto words = words_of(stage, planned);
    if (!words) return "pixels, by parameters drawn before";
    return words->empty() ? "nothing" : *words;
  }
  std::string text;
  for (const Step& step : planned.geometry) text += (text.empty() ? "" : ", ") + describe(step);
  return text.empty() ? "nothing" : text;
}

/// True if an axis of the output shows a place outside [0, length] of the source.
bool leaves(double scale, double offset, std::int64_t output, std::int64_t length) {
  constexpr double slack = 1e-6;
  const double end = scale * static_cast<double>(output) + offset;
  const auto [low, high] = std::minmax(offset, end);
  return low < -slack || high > static_cast<double>(length) + slack;
}

/// "flipped", "upside down", "turned by 180"; empty for neither.
std::string describe_flips(const Plan& plan) {
  if (plan.flip_horizontal && plan.flip_vertical) return "turned by 180";
  if (plan.flip_horizontal) return "flipped";
  return plan.flip_vertical ? "upside down" : "";
}

/// "enlarged 1.45x"; empty where nothing is enlarged.
std::string describe_enlargement(const Plan& plan) {
  const double factor = enlargement(plan);
  return factor < 1.005 ? "" : fmt::format("enlarged {:.2f}x", factor);
}

/// True if the output shows more than the source has.
bool is_padded(const Plan& plan) {
  const AffineMap& map = plan.output_to_source;
  return leaves(map.y_scale, map.y_offset, plan.output.height, plan.source.height) ||
         leaves(map.x_scale, map.x_offset, plan.output.width, plan.source.width);
}

}  // namespace

std::string describe_window(const Plan& plan) {
  const Rect& window = plan.window;
  return fmt::format("y {}  x {}  {}{}", window.y, window.x, to_string(window.size()), plan.opaque ? "  or so" : "");
}

double enlargement(const Plan& plan) {
  const AffineMap& map = plan.output_to_source;
  return 1 / std::min(std::abs(map.y_scale), std::abs(map.x_scale));
}

std::string describe_changes(const Plan& plan) {
  std::string text;
  for (const std::string& part :
       {describe_flips(plan), describe_enlargement(plan), std::string(is_padded(plan) ? "padded" : "")}) {
    if (!part.empty()) text += (text.empty() ? "" : ", ") + part;
  }
  return text;
}

std::string describe_drawn(const Plan& plan, const Pipeline& pipeline) {
  if (!pipeline.made(plan)) return "";
  std::string text;
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const Stage& stage = pipeline.stages()[i];
    if (stage.kind() == StageKind::window) continue;
    const std::string part = words_of(stage, plan.stages[i]).value_or(stage.name());
    if (!part.empty()) text += (text.empty() ? "" : ", ") + part;
  }
  return text;
}

std::string describe_label(std::int64_t label, const std::vector<std::string>& classes) {
  const bool named = label >= 0 && static_cast<std::size_t>(label) < classes.size();
  return named ? classes[static_cast<std::size_t>(label)] : fmt::format("label {}", label);
}

std::string value_stages(const Pipeline& pipeline) {
  std::string text;
  for (const Stage& stage : pipeline.stages()) {
    if (stage.kind() == StageKind::value) text += (text.empty() ? "" : ", ") + stage.name();
  }
  return text;
}

std::vector<std::string> describe_stages(const Plan& plan, const Pipeline& pipeline) {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const Stage& stage = pipeline.stages()[i];
    const PlannedStage& planned = plan.stages[i];
    lines.push_back(fmt::format("{}  {} to {}: {}", stage.name(), to_string(planned.in), to_string(planned.out),
                                describe(planned, stage)));
  }
  return lines;
}

}  // namespace muster

#include "pipeline/compose.hpp"

namespace muster {

void View::crop(const Rect& window) noexcept {
  const Rect kept = intersect(valid, window);
  if (kept.empty()) {
    source = {source.y, source.x, 0, 0};
    valid = {};
  } else {
    // Rows cut off above the kept part; in a mirrored view they come off the other end of the source.
    const std::int64_t above = kept.y - valid.y;
    const std::int64_t left = kept.x - valid.x;
    source.y += flip_vertical ? valid.height - above - kept.height : above;
    source.x += flip_horizontal ? valid.width - left - kept.width : left;
    source.height = kept.height;
    source.width = kept.width;
    valid = {kept.y - window.y, kept.x - window.x, kept.height, kept.width};
  }
  canvas = window.size();
}

void View::flip(const Flip& flip) noexcept {
  if (flip.horizontal) {
    valid.x = canvas.width - valid.x - valid.width;
    flip_horizontal = !flip_horizontal;
  }
  if (flip.vertical) {
    valid.y = canvas.height - valid.y - valid.height;
    flip_vertical = !flip_vertical;
  }
}

bool View::pad(const Padding& margins, Fill colour) noexcept {
  if (padded() && colour != fill) return false;
  fill = colour;
  canvas = output_size(Border{margins, PadMode::constant, colour}, canvas);
  valid.y += margins.top;
  valid.x += margins.left;
  return true;
}

bool GeometryPass::is_identity(Size source) const noexcept {
  return !resample && !read.padded() && !read.mirrored() && read.source == Rect::whole(source);
}

namespace {

/// Collects steps into passes.
class Composer {
 public:
  Composer(Size source, std::vector<Pass>& passes) : passes_(passes) {
    passes_.clear();
    begin(source);
  }

  void add(const Step& step) {
    if (const auto* crop = std::get_if<Crop>(&step)) {
      view().crop(crop->window);
    } else if (const auto* flip = std::get_if<Flip>(&step)) {
      view().flip(*flip);
    } else if (const auto* resample = std::get_if<Resample>(&step)) {
      add(*resample);
    } else {
      add(std::get<Border>(step));
    }
  }

  void add_pixel_stage(std::size_t stage, Size out) {
    passes_.emplace_back(PixelPass{stage});
    begin(out);
  }

 private:
  GeometryPass& current() { return std::get<GeometryPass>(passes_.back()); }
  View& view() { return current().view(); }

  void begin(Size source) { passes_.emplace_back(GeometryPass{View::whole(source), std::nullopt, View{}}); }

  void add(const Resample& resample) {
    if (resample.size == view().canvas) return;  // Pillow skips both passes: a copy
    if (current().resample) begin(view().canvas);
    current().resample = resample;
    current().write = View::whole(resample.size);
  }

  void add(const Border& border) {
    const Size in = view().canvas;
    if (border.mode == PadMode::constant) {
      if (view().pad(border.padding, border.fill)) return;
      begin(in);
      view().pad(border.padding, border.fill);
    } else {
      passes_.emplace_back(BorderPass{border});
      begin(output_size(border, in));
    }
  }

  std::vector<Pass>& passes_;
};

}  // namespace

void compose(const std::vector<Stage>& stages, const Plan& plan, std::vector<Pass>& passes) {
  Composer composer(plan.source, passes);
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    if (stages[i].kind() == StageKind::window) {
      for (const Step& step : plan.stages[i].geometry) composer.add(step);
    } else {
      composer.add_pixel_stage(i, plan.stages[i].out);
    }
  }
}

}  // namespace muster

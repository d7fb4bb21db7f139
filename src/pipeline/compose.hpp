// Composing: many geometric steps become few passes.
//
// A pass reads a view of an image (cropped, mirrored, padded), resamples it at most once, and shows a view of the
// result. Steps join the current pass as long as that gives the same bytes as running them one by one:
//   (crop | flip | constant border)*, one resample, (crop | flip | constant border)*
// A second resample begins a new pass; other borders and stages that work on pixels are passes of their own.
#pragma once

#include <cstddef>
#include <optional>
#include <variant>
#include <vector>

#include "muster/geometry.hpp"
#include "muster/pipeline.hpp"

namespace muster {

/// A canvas that shows one rectangle of a source, perhaps mirrored, and `fill` elsewhere.
struct View {
  Size canvas;
  Rect valid;   // the part of the canvas that shows the source
  Rect source;  // the part of the source that is shown there; same size as `valid`
  bool flip_horizontal = false;
  bool flip_vertical = false;
  Fill fill;

  static View whole(Size size) noexcept { return {size, Rect::whole(size), Rect::whole(size), false, false, {}}; }

  bool padded() const noexcept { return valid.size() != canvas; }
  bool mirrored() const noexcept { return flip_horizontal || flip_vertical; }

  void crop(const Rect& window) noexcept;
  void flip(const Flip& flip) noexcept;
  /// False, and no change, if that would need a second fill colour.
  bool pad(const Padding& margins, Fill colour) noexcept;
};

/// source ─► read view ─► resample ─► write view
struct GeometryPass {
  View read;
  std::optional<Resample> resample;  // of the whole canvas of `read`
  View write;                        // of the resampled image; unused without one
  /// The last view: what it shows is what comes out.
  const View& view() const noexcept { return resample ? write : read; }
  View& view() noexcept { return resample ? write : read; }
  /// True if the pass gives back its source, of this size.
  bool is_identity(Size source) const noexcept;
};

/// A border that continues the picture: edge, reflect, symmetric.
struct BorderPass {
  Border border;
};

/// A stage that works on pixels.
struct PixelPass {
  std::size_t stage = 0;
};

using Pass = std::variant<GeometryPass, BorderPass, PixelPass>;

/// The passes of a plan; the first and the last are a GeometryPass, so that decoder and slot always meet one.
void compose(const std::vector<Stage>& stages, const Plan& plan, std::vector<Pass>& passes);

}  // namespace muster

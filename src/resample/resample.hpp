// Resampling, bit-identical to Pillow 9.4's Image.resize on 8-bit channels.
//
// A job describes the whole resize, of which only `window` is computed: every output pixel is a function of its
// absolute position, so a window has the bytes that cropping the whole result would give. Formulas and their
// source: docs/semantics.md, "Resampling".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>

#include "muster/geometry.hpp"
#include "muster/image.hpp"

namespace muster {

namespace resample {
struct Kernels;
}

/// A rectangle between pixels: [y, y + height) × [x, x + width).
struct Box {
  double y = 0;
  double x = 0;
  double height = 0;
  double width = 0;
};

/// An image of size `in`, or its part `box`, becomes `out`; computed is only `window` of the result. `out` may be far
/// larger than anything that would fit into memory; `in` and `window` may not.
struct ResampleJob {
  Size in;
  Size out;
  Rect window;
  Interpolation interpolation = Interpolation::bilinear;
  std::optional<Box> box = {};  // as Pillow's resize(box=…): pixels around it take part as far as the filter reaches
};

/// The part of the input that the job reads; never empty. Throws ShapeError for a job whose window is empty or not
/// inside `out`, or with a side below 1.
Rect required_input(const ResampleJob& job);

/// Holds weights and scratch rows between jobs: one per thread. Equal consecutive axes compute no weights anew.
class Resampler {
 public:
  /// With the fastest kernels of this CPU; all kernels give the same bytes.
  Resampler();
  /// With kernels of one's choice: for tests and benchmarks.
  explicit Resampler(const resample::Kernels& kernels);
  ~Resampler();

  /// `in` shows exactly required_input(job), 1 or 3 channels; ShapeError otherwise. `out` becomes
  /// {window.height, window.width, in.channels} and must not be what `in` shows. Two passes, horizontal then
  /// vertical, each skipped where it changes nothing; allocates only to grow.
  void run(const ResampleJob& job, const ImageView& in, Image& out);

  /// The same, row by row without an image between: calls sink(y, row) for y = 0 … window.height − 1, in order.
  /// `row` holds window.width · channels bytes and is valid until `sink` returns. What `sink` throws passes through.
  template <class Sink>
  void run_rows(const ResampleJob& job, const ImageView& in, Sink&& sink) {
    const RowCall call = [](void* context, std::int64_t y, const std::uint8_t* row) {
      (*static_cast<std::remove_reference_t<Sink>*>(context))(y, row);
    };
    run_rows(job, in, call, const_cast<void*>(static_cast<const void*>(std::addressof(sink))));
  }

 private:
  using RowCall = void (*)(void* context, std::int64_t y, const std::uint8_t* row);
  void run_rows(const ResampleJob& job, const ImageView& in, RowCall call, void* context);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace muster

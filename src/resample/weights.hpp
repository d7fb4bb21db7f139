// Which input pixels an output pixel is made of, along one axis, and with what weights.
#pragma once

#include <cstdint>
#include <vector>

#include "muster/geometry.hpp"
#include "resample/kernels.hpp"

namespace muster::resample {

/// The part [box_begin, box_begin + box_length) of `in` pixels becomes `out`; wanted are [begin, begin + count) of
/// those.
struct Axis {
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::int64_t begin = 0;
  std::int64_t count = 0;
  double box_begin = 0;
  double box_length = 0;

  /// Pillow skips the pass of an axis whose size does not change.
  bool is_identity() const noexcept { return in == out && box_begin == 0 && box_length == static_cast<double>(in); }
  friend bool operator==(const Axis&, const Axis&) = default;
};

/// Consecutive pixels of an axis.
struct Span {
  std::int64_t begin = 0;
  std::int64_t count = 0;
};

/// The input pixels that `axis` reads, exactly.
Span required_span(const Axis& axis, Interpolation interpolation);

/// Positions of the pixels that nearest picks, counted from the first of them. The position accumulates from the
/// start of the axis, as in Pillow, so this takes time linear in axis.begin.
void nearest_positions(const Axis& axis, std::vector<std::int32_t>& positions);

/// The weights of one axis. Reused: assign() allocates only to grow.
class AxisWeights {
 public:
  /// Computes, unless this is what is here already. Not for nearest.
  void assign(const Axis& axis, Interpolation interpolation, const Kernels& kernels);

  /// Taps of output pixel i begin at input pixel first()[i], counted from required_span(). Filled up to a multiple
  /// of strip_pixels outputs, which repeat the last.
  const std::int32_t* first() const noexcept { return first_.data(); }
  std::int64_t num_outputs() const noexcept { return static_cast<std::int64_t>(first_.size()); }
  std::int64_t num_taps(std::int64_t i) const noexcept { return num_taps_[static_cast<std::size_t>(i)]; }
  std::int64_t max_taps() const noexcept { return max_taps_; }
  /// Quads of each output; those beyond its taps weigh 0.
  std::int64_t num_quads() const noexcept { return (max_taps_ + quad - 1) / quad; }
  const std::int32_t* packed(std::int64_t i = 0) const noexcept { return packed_.data() + i * num_quads() * quad; }

 private:
  Axis axis_;
  Interpolation interpolation_ = Interpolation::nearest;
  std::int64_t max_taps_ = 0;
  std::vector<std::int32_t> first_;
  std::vector<std::int32_t> num_taps_;
  std::vector<double> taps_;  // weights of one output pixel
  std::vector<std::int32_t> weights_;
  std::vector<std::int32_t> packed_;
};

}  // namespace muster::resample

// As Pillow 9.4 computes them, in the same order of operations on doubles: the weights are equal to the last bit only
// if no multiply-add is fused, so this file needs -ffp-contract=off.
#include "resample/weights.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace muster::resample {
namespace {

using Filter = double (*)(double);

double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double bilinear(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= std::numbers::pi;
  return std::sin(x) / x;
}

double hamming(double x) {
  x = std::abs(x);
  if (x == 0.0) return 1.0;
  if (x >= 1.0) return 0.0;
  x *= std::numbers::pi;
  // The constants are floats in Pillow.
  return std::sin(x) / x * (double{0.54f} + double{0.46f} * std::cos(x));
}

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double lanczos(double x) { return -3.0 <= x && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

struct FilterAndSupport {
  Filter filter;
  double support;
};

FilterAndSupport filter_of(Interpolation interpolation) {
  switch (interpolation) {
    case Interpolation::nearest:
    case Interpolation::box:
      return {box, 0.5};
    case Interpolation::bilinear:
      return {bilinear, 1.0};
    case Interpolation::hamming:
      return {hamming, 1.0};
    case Interpolation::bicubic:
      return {bicubic, 2.0};
    case Interpolation::lanczos:
      return {lanczos, 3.0};
  }
  return {bilinear, 1.0};
}

/// Where the taps of an output pixel lie.
class TapRule {
 public:
  TapRule(const Axis& axis, double filter_support)
      : in_(axis.in),
        box_begin_(axis.box_begin),
        scale_(axis.box_length / static_cast<double>(axis.out)),
        filterscale_(std::max(scale_, 1.0)),
        support_(filter_support * filterscale_) {}

  double filterscale() const { return filterscale_; }
  double center(std::int64_t x) const { return box_begin_ + (static_cast<double>(x) + 0.5) * scale_; }
  Span taps(std::int64_t x) const {
    const auto begin = std::max<std::int64_t>(static_cast<std::int64_t>(center(x) - support_ + 0.5), 0);
    const auto end = std::min(static_cast<std::int64_t>(center(x) + support_ + 0.5), in_);
    return {begin, end - begin};
  }

 private:
  std::int64_t in_;
  double box_begin_;
  double scale_;
  double filterscale_;
  double support_;
};

/// Calls visit(input pixel) for each wanted output pixel.
template <class Visit>
void visit_nearest(const Axis& axis, Visit visit) {
  const double scale = axis.box_length / static_cast<double>(axis.out);
  double position = axis.box_begin + scale * 0.5;
  for (std::int64_t x = 0; x < axis.begin; ++x) position += scale;
  for (std::int64_t x = 0; x < axis.count; ++x, position += scale) {
    // Beyond 2^26 outputs the accumulated error could leave the image.
    visit(std::min(static_cast<std::int64_t>(position), axis.in - 1));
  }
}

std::int32_t to_fixed(double weight) {
  const double scaled = weight * (1 << precision_bits);
  return static_cast<std::int32_t>(weight < 0 ? -0.5 + scaled : 0.5 + scaled);
}

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace

Span required_span(const Axis& axis, Interpolation interpolation) {
  if (axis.is_identity()) return {axis.begin, axis.count};
  if (interpolation == Interpolation::nearest) {
    std::int64_t begin = axis.in;
    std::int64_t last = 0;
    visit_nearest(axis, [&](std::int64_t position) {
      begin = std::min(begin, position);
      last = position;
    });
    return {begin, last + 1 - begin};
  }
  const TapRule rule(axis, filter_of(interpolation).support);
  const Span front = rule.taps(axis.begin);
  const Span back = rule.taps(axis.begin + axis.count - 1);
  return {front.begin, back.begin + back.count - front.begin};
}

void nearest_positions(const Axis& axis, std::vector<std::int32_t>& positions) {
  positions.clear();
  visit_nearest(axis, [&](std::int64_t position) { positions.push_back(static_cast<std::int32_t>(position)); });
  const std::int32_t begin = positions.front();
  for (std::int32_t& position : positions) position -= begin;
}

void AxisWeights::assign(const Axis& axis, Interpolation interpolation, const Kernels& kernels) {
  if (axis == axis_ && interpolation == interpolation_) return;
  axis_ = {};

  const auto [filter, support] = filter_of(interpolation);
  const TapRule rule(axis, support);
  const std::int64_t begin = rule.taps(axis.begin).begin;
  first_.clear();
  num_taps_.clear();
  max_taps_ = 1;
  for (std::int64_t x = axis.begin; x < axis.begin + axis.count; ++x) {
    const Span taps = rule.taps(x);
    first_.push_back(static_cast<std::int32_t>(taps.begin - begin));
    num_taps_.push_back(static_cast<std::int32_t>(taps.count));
    max_taps_ = std::max(max_taps_, taps.count);
  }
  first_.resize(static_cast<std::size_t>(round_up(axis.count, strip_pixels)), first_.back());

  const std::int64_t step = num_quads() * quad;
  taps_.resize(static_cast<std::size_t>(max_taps_));
  weights_.assign(first_.size() * static_cast<std::size_t>(step), 0);
  const double inverse = 1.0 / rule.filterscale();
  for (std::int64_t i = 0; i < axis.count; ++i) {
    const double center = rule.center(axis.begin + i);
    const std::int64_t first = begin + first_[static_cast<std::size_t>(i)];
    double sum = 0.0;
    for (std::int64_t t = 0; t < num_taps(i); ++t) {
      const double weight = filter((static_cast<double>(first + t) - center + 0.5) * inverse);
      taps_[static_cast<std::size_t>(t)] = weight;
      sum += weight;
    }
    std::int32_t* weights = weights_.data() + i * step;
    for (std::int64_t t = 0; t < num_taps(i); ++t) {
      const double weight = taps_[static_cast<std::size_t>(t)];
      weights[t] = to_fixed(sum != 0.0 ? weight / sum : weight);
    }
  }
  packed_.resize(weights_.size());
  kernels.pack(weights_.data(), num_outputs() * num_quads(), packed_.data());
  axis_ = axis;
  interpolation_ = interpolation;
}

}  // namespace muster::resample

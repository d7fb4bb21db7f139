#include "resample/resample.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "resample/kernels.hpp"
#include "resample/weights.hpp"

namespace muster {
namespace {

using resample::Axis;
using resample::AxisWeights;
using resample::Kernels;
using resample::Span;

Axis vertical_axis(const ResampleJob& job) {
  const double begin = job.box ? job.box->y : 0;
  const double length = job.box ? job.box->height : static_cast<double>(job.in.height);
  return {job.in.height, job.out.height, job.window.y, job.window.height, begin, length};
}

Axis horizontal_axis(const ResampleJob& job) {
  const double begin = job.box ? job.box->x : 0;
  const double length = job.box ? job.box->width : static_cast<double>(job.in.width);
  return {job.in.width, job.out.width, job.window.x, job.window.width, begin, length};
}

std::string to_string(const Rect& rect) {
  return fmt::format("{}x{} at (y {}, x {})", rect.height, rect.width, rect.y, rect.x);
}

void check(const ResampleJob& job) {
  constexpr std::int64_t max_in = std::numeric_limits<std::int32_t>::max();
  if (job.in.height < 1 || job.in.width < 1 || job.in.height > max_in || job.in.width > max_in) {
    throw ShapeError("resample", fmt::format("expected an input with sides from 1 to {}, received {}", max_in,
                                             muster::to_string(job.in)));
  }
  if (job.out.height < 1 || job.out.width < 1) {
    throw ShapeError("resample", "expected an output of at least 1x1, received " + muster::to_string(job.out));
  }
  if (!contains(job.out, job.window)) {
    throw ShapeError("resample", fmt::format("expected a window inside the output {}, received {}",
                                             muster::to_string(job.out), to_string(job.window)));
  }
}

void check(const ImageView& in, const Rect& required) {
  if (in.size != required.size()) {
    throw ShapeError("resample", fmt::format("expected a view of the required input {}, received {}",
                                             to_string(required), muster::to_string(in.size)));
  }
  if (in.channels != 1 && in.channels != 3) {
    throw ShapeError("resample", fmt::format("expected 1 or 3 channels, received {}", in.channels));
  }
}

/// The rows that come out of the horizontal pass, made strip by strip as they are asked for. Kept are the last
/// `num_kept` and the strip that is being made, in a ring that stays warm in the cache.
class HorizontalRows {
 public:
  /// `in` and `weights` must live until the last call of row().
  void start(const ImageView& in, const AxisWeights& weights, std::int64_t num_kept) {
    in_ = in;
    weights_ = &weights;
    num_made_ = 0;
    readable_ = (weights.first()[weights.num_outputs() - 1] + weights.num_quads() * resample::quad) * in.channels +
                resample::row_slack;
    capacity_ = (num_kept + 2 * resample::strip_rows - 1) / resample::strip_rows * resample::strip_rows;
    stride_ = weights.num_outputs() * in.channels + resample::row_slack;
    ring_.resize(static_cast<std::size_t>(capacity_ * stride_));
    copies_.resize(static_cast<std::size_t>(resample::strip_rows * readable_));
  }

  /// Row y, which may lie at most num_kept − 1 before the last row that was asked for.
  const std::uint8_t* row(std::int64_t y, const Kernels& kernels) {
    while (num_made_ <= y) make_strip(kernels);
    return ring_.data() + y % capacity_ * stride_;
  }

 private:
  void make_strip(const Kernels& kernels) {
    std::array<const std::uint8_t*, resample::strip_rows> rows;
    for (std::int64_t r = 0; r < resample::strip_rows; ++r) {
      rows[static_cast<std::size_t>(r)] = readable_row(std::min(num_made_ + r, in_.size.height - 1), r);
    }
    kernels.horizontal(rows.data(), weights_->first(), weights_->packed(), weights_->num_quads(),
                       weights_->num_outputs(), in_.channels, ring_.data() + num_made_ % capacity_ * stride_, stride_);
    num_made_ += resample::strip_rows;
  }

  /// The kernel reads a little beyond its taps: into the next row, or for the last rows into a copy.
  const std::uint8_t* readable_row(std::int64_t y, std::int64_t r) {
    const std::int64_t row_bytes = in_.size.width * in_.channels;
    if (readable_ <= (in_.size.height - 1 - y) * in_.stride_bytes + row_bytes) return in_.row(y);
    std::uint8_t* copy = copies_.data() + r * readable_;
    std::memcpy(copy, in_.row(y), static_cast<std::size_t>(row_bytes));
    return copy;
  }

  ImageView in_;
  const AxisWeights* weights_ = nullptr;
  std::int64_t num_made_ = 0;
  std::int64_t readable_ = 0;  // bytes of an input row that the kernel may read
  std::int64_t capacity_ = 0;  // rows of the ring, a multiple of strip_rows
  std::int64_t stride_ = 0;
  std::vector<std::uint8_t> ring_;
  std::vector<std::uint8_t> copies_;
};

}  // namespace

Rect required_input(const ResampleJob& job) {
  check(job);
  const Span rows = required_span(vertical_axis(job), job.interpolation);
  const Span columns = required_span(horizontal_axis(job), job.interpolation);
  return {rows.begin, columns.begin, rows.count, columns.count};
}

struct Resampler::Impl {
  explicit Impl(const Kernels& chosen) : kernels(chosen) {}

  const Kernels& kernels;
  AxisWeights horizontal;
  AxisWeights vertical;
  HorizontalRows horizontal_rows;
  std::vector<const std::uint8_t*> taps;  // rows that the vertical pass sums up
  std::vector<std::uint8_t> row;          // the finished row
  std::vector<std::int32_t> columns;      // of nearest
  std::vector<std::int32_t> rows;         // of nearest

  template <class Finished>
  void run(const ResampleJob& job, const ImageView& in, Finished finished);
  template <class Finished>
  void run_nearest(const ResampleJob& job, const ImageView& in, Finished finished);
};

template <class Finished>
void Resampler::Impl::run_nearest(const ResampleJob& job, const ImageView& in, Finished finished) {
  nearest_positions(vertical_axis(job), rows);
  nearest_positions(horizontal_axis(job), columns);
  row.resize(columns.size() * static_cast<std::size_t>(in.channels));
  for (std::size_t y = 0; y < rows.size(); ++y) {
    const std::uint8_t* from = in.row(rows[y]);
    std::uint8_t* to = row.data();
    for (const std::int32_t x : columns) {
      for (int c = 0; c < in.channels; ++c) *to++ = from[std::int64_t{x} * in.channels + c];
    }
    finished(static_cast<std::int64_t>(y), row.data());
  }
}

template <class Finished>
void Resampler::Impl::run(const ResampleJob& job, const ImageView& in, Finished finished) {
  if (job.interpolation == Interpolation::nearest) return run_nearest(job, in, finished);
  const Axis x_axis = horizontal_axis(job);
  const Axis y_axis = vertical_axis(job);
  const std::int64_t row_bytes = job.window.width * in.channels;

  if (!y_axis.is_identity()) vertical.assign(y_axis, job.interpolation, kernels);
  if (!x_axis.is_identity()) {
    horizontal.assign(x_axis, job.interpolation, kernels);
    horizontal_rows.start(in, horizontal, y_axis.is_identity() ? 1 : vertical.max_taps());
  }
  const auto source_row = [&](std::int64_t y) {
    return x_axis.is_identity() ? in.row(y) : horizontal_rows.row(y, kernels);
  };
  if (y_axis.is_identity()) {
    for (std::int64_t y = 0; y < job.window.height; ++y) finished(y, source_row(y));
    return;
  }

  row.resize(static_cast<std::size_t>(row_bytes));
  for (std::int64_t y = 0; y < job.window.height; ++y) {
    const std::int64_t first = vertical.first()[y];
    const std::int64_t num_taps = vertical.num_taps(y);
    const std::int64_t num_quads = (num_taps + resample::quad - 1) / resample::quad;
    taps.resize(static_cast<std::size_t>(num_quads * resample::quad));
    for (std::size_t t = 0; t < taps.size(); ++t) {
      taps[t] = source_row(first + std::min(static_cast<std::int64_t>(t), num_taps - 1));
    }
    kernels.vertical(taps.data(), vertical.packed(y), num_quads, row_bytes, row.data());
    finished(y, row.data());
  }
}

Resampler::Resampler() : Resampler(resample::simd_kernels()) {}
Resampler::Resampler(const Kernels& kernels) : impl_(std::make_unique<Impl>(kernels)) {}
Resampler::~Resampler() = default;

void Resampler::run_rows(const ResampleJob& job, const ImageView& in, RowCall call, void* context) {
  check(in, required_input(job));
  impl_->run(job, in, [&](std::int64_t y, const std::uint8_t* row) { call(context, y, row); });
}

void Resampler::run(const ResampleJob& job, const ImageView& in, Image& out) {
  check(in, required_input(job));
  out.reshape(job.window.size(), in.channels);
  const auto row_bytes = static_cast<std::size_t>(out.stride_bytes());
  impl_->run(job, in, [&](std::int64_t y, const std::uint8_t* row) { std::memcpy(out.row(y), row, row_bytes); });
}

}  // namespace muster

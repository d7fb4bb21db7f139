// Specifications: what a model expects of its input batches, held against what a loader delivers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "muster/tensor.hpp"

namespace [[gnu::visibility("default")]] muster {

/// For a dimension about which the model does not care.
inline constexpr std::nullopt_t any = std::nullopt;

/// What a model expects: {64 or any, 3, 224, 224}, element type, axis order.
struct InputSpec {
  std::optional<std::int64_t> batch_size = {};
  std::optional<std::int64_t> channels = {};
  std::optional<std::int64_t> height = {};
  std::optional<std::int64_t> width = {};
  std::optional<DType> dtype = {};
  std::optional<Layout> layout = {};
};

/// What a loader delivers. `last_batch_size` differs from `batch_size` only when the last batch is partial.
struct BatchSpec {
  std::int64_t batch_size = 0;
  std::int64_t last_batch_size = 0;
  std::int64_t channels = 0;
  std::int64_t height = 0;
  std::int64_t width = 0;
  DType dtype = DType::uint8;
  Layout layout = Layout::nchw;

  /// The shape of every full batch, axes in the order of `layout`.
  Shape shape() const { return shape(batch_size); }
  /// The shape of a batch of `num_rows` rows.
  Shape shape(std::int64_t num_rows) const;
};

/// One disagreement.
struct Mismatch {
  std::string dimension;  // "batch size", "last batch", "channels", "height", "width", "dtype", "layout"
  std::string expected;
  std::string received;
  std::string advice;  // what to change
};

/// All disagreements, empty when the batches fit.
std::vector<Mismatch> compare(const InputSpec& expected, const BatchSpec& received);

/// Throws one ShapeError that lists every mismatch with its advice.
void require(const InputSpec& expected, const BatchSpec& received);

}  // namespace muster

// Writing: the last view of a sample becomes elements of its slot, cast and laid out.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "muster/pipeline.hpp"
#include "pipeline/compose.hpp"

namespace muster {

/// What the 256 pixel values become in each channel, for every element type: value stages, division and cast are
/// all done once, here.
class ValueTables {
 public:
  /// Of a pipeline's value stages; without any, a value stays what it is.
  ValueTables(const std::vector<Stage>& stages, int num_channels);

  /// The 256 elements of channel `channel`, of the type that `dtype` names. uint8 stays what it is, whatever the
  /// value stages say. Throws ConfigError for int64.
  const void* table(DType dtype, int channel) const;

 private:
  std::array<std::uint8_t, 256> bytes_{};
  std::array<std::array<float, 256>, 3> floats_{};
  std::array<std::array<std::uint16_t, 256>, 3> float16_{};
  std::array<std::array<std::uint16_t, 256>, 3> bfloat16_{};
};

/// Writes what a view shows into a slot, row by row: pixels are mirrored, looked up, cast and laid out in one go, as
/// soon as the resampler has finished them.
class SlotWriter {
 public:
  /// `tables` and the slot must outlive the writer. Rows will have `num_channels` interleaved channels.
  SlotWriter(const View& view, int num_channels, const ValueTables& tables, const Slot& slot);

  /// Row y of view.source, view.source.width pixels.
  void operator()(std::int64_t y, const std::uint8_t* row) const { write_row_(*this, y, row); }
  /// The rows of the canvas that show nothing of the source.
  void fill_borders() const { fill_borders_(*this); }

 private:
  template <class T>
  struct ElementsOf;  // what is done for elements of type T

  const View& view_;
  int num_channels_;
  Layout layout_;
  std::byte* data_;
  std::array<const void*, 3> tables_{};
  std::array<std::uint8_t, 3> filler_{};
  void (*write_row_)(const SlotWriter&, std::int64_t y, const std::uint8_t* row);
  void (*fill_borders_)(const SlotWriter&);
};

/// Draws what `view` shows into an image, which becomes {canvas.height, canvas.width, shown.channels}. `shown` is the
/// part view.source of its source.
void draw(const View& view, const ImageView& shown, const ValueTables& tables, Image& out);

/// `in` with a border, into `out`; `out` must not be what `in` shows.
void draw_border(const Border& border, const ImageView& in, Image& out);

}  // namespace muster

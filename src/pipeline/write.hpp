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

  int num_channels() const noexcept { return num_channels_; }
  const float* floats(int channel) const noexcept { return floats_[index(channel)].data(); }
  const std::uint16_t* float16(int channel) const noexcept { return float16_[index(channel)].data(); }
  const std::uint16_t* bfloat16(int channel) const noexcept { return bfloat16_[index(channel)].data(); }

 private:
  static std::size_t index(int channel) noexcept { return static_cast<std::size_t>(channel); }

  int num_channels_;
  std::array<std::array<float, 256>, 3> floats_{};
  std::array<std::array<std::uint16_t, 256>, 3> float16_{};
  std::array<std::array<std::uint16_t, 256>, 3> bfloat16_{};
};

/// The fill colour as pixels of an image with 1 or 3 channels have it.
std::array<std::uint8_t, 3> fill_pixel(Fill fill, int num_channels) noexcept;

/// Writes what `view` shows into `slot`. `shown` is the part view.source of its source.
void write(const View& view, const ImageView& shown, const ValueTables& tables, const Slot& slot);

/// The same into an image, which becomes {canvas.height, canvas.width, shown.channels}.
void draw(const View& view, const ImageView& shown, Image& out);

/// `in` with a border, into `out`; `out` must not be what `in` shows.
void draw_border(const Border& border, const ImageView& in, Image& out);

}  // namespace muster

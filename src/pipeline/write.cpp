#include "pipeline/write.hpp"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "decode/pixels.hpp"

namespace muster {
namespace {

/// The fill colour as pixels of an image with 1 or 3 channels have it.
std::array<std::uint8_t, 3> fill_pixel(Fill fill, int num_channels) noexcept {
  if (num_channels == 3) return fill.rgb;
  const auto [red, green, blue] = fill.rgb;
  return {codec::luma(red, green, blue), 0, 0};
}

/// Position `i` of a bordered axis of `n` pixels, i counted from the first pixel of the picture itself.
std::int64_t border_source(PadMode mode, std::int64_t i, std::int64_t n) noexcept {
  if (mode == PadMode::edge || n == 1) return std::clamp<std::int64_t>(i, 0, n - 1);
  // reflect repeats with period 2(n − 1), the edge pixel once; symmetric with 2n, the edge pixel twice.
  const bool symmetric = mode == PadMode::symmetric;
  const std::int64_t period = symmetric ? 2 * n : 2 * (n - 1);
  const std::int64_t phase = ((i % period) + period) % period;
  return phase < n ? phase : period - phase - (symmetric ? 1 : 0);
}

}  // namespace

ValueTables::ValueTables(const std::vector<Stage>& stages, int num_channels) {
  std::iota(bytes_.begin(), bytes_.end(), std::uint8_t{0});
  for (int channel = 0; channel < num_channels; ++channel) {
    const auto index = static_cast<std::size_t>(channel);
    std::array<float, 256>& floats = floats_[index];
    std::copy(bytes_.begin(), bytes_.end(), floats.begin());
    for (const Stage& stage : stages) {
      if (stage.kind() == StageKind::value) floats = stage.table(channel);
    }
    std::transform(floats.begin(), floats.end(), float16_[index].begin(), to_float16);
    std::transform(floats.begin(), floats.end(), bfloat16_[index].begin(), to_bfloat16);
  }
}

const void* ValueTables::table(DType dtype, int channel) const {
  const auto index = static_cast<std::size_t>(channel);
  switch (dtype) {
    case DType::uint8:
      return bytes_.data();
    case DType::float16:
      return float16_[index].data();
    case DType::bfloat16:
      return bfloat16_[index].data();
    case DType::float32:
      return floats_[index].data();
    case DType::int64:
      break;
  }
  throw ConfigError("write", "images are uint8, float16, bfloat16 or float32, not int64");
}

template <class T>
struct SlotWriter::ElementsOf {
  static T* data(const SlotWriter& writer) { return reinterpret_cast<T*>(writer.data_); }
  static const T* table(const SlotWriter& writer, int channel) {
    return static_cast<const T*>(writer.tables_[static_cast<std::size_t>(channel)]);
  }
  static T filler(const SlotWriter& writer, int channel) {
    return table(writer, channel)[writer.filler_[static_cast<std::size_t>(channel)]];
  }

  /// Element 0 of row y in a channel; elements of a row lie `step` apart.
  struct Row {
    T* first;
    std::int64_t step;
  };
  static Row row(const SlotWriter& writer, int channel, std::int64_t y) {
    const Size canvas = writer.view_.canvas;
    if (writer.layout_ == Layout::nchw) {
      return {data(writer) + (channel * canvas.height + y) * canvas.width, 1};
    }
    return {data(writer) + y * canvas.width * writer.num_channels_ + channel, writer.num_channels_};
  }

  static void fill(const SlotWriter& writer, int channel, std::int64_t y, std::int64_t from, std::int64_t to) {
    const auto [first, step] = row(writer, channel, y);
    const T value = filler(writer, channel);
    for (std::int64_t x = from; x < to; ++x) first[x * step] = value;
  }

  static void write_row(const SlotWriter& writer, std::int64_t y, const std::uint8_t* pixels) {
    const View& view = writer.view_;
    const Rect& valid = view.valid;
    const std::int64_t canvas_y = valid.y + (view.flip_vertical ? valid.height - 1 - y : y);
    // A mirrored row is read backwards.
    const int channels = writer.num_channels_;
    const std::int64_t stride = view.flip_horizontal ? -channels : channels;
    if (view.flip_horizontal) pixels += (valid.width - 1) * channels;
    if (channels == 3) {
      write_rgb(writer, canvas_y, pixels, stride);
    } else {
      const auto [first, step] = row(writer, 0, canvas_y);
      const T* values = table(writer, 0);
      T* out = first + valid.x * step;
      for (std::int64_t x = 0; x < valid.width; ++x) out[x * step] = values[pixels[x * stride]];
    }
    for (int channel = 0; channel < channels; ++channel) {
      fill(writer, channel, canvas_y, 0, valid.x);
      fill(writer, channel, canvas_y, valid.x + valid.width, view.canvas.width);
    }
  }

  static void write_rgb(const SlotWriter& writer, std::int64_t canvas_y, const std::uint8_t* pixels,
                        std::int64_t stride) {
    const Rect& valid = writer.view_.valid;
    const auto [first, step] = row(writer, 0, canvas_y);
    T* red = first + valid.x * step;
    T* green = row(writer, 1, canvas_y).first + valid.x * step;
    T* blue = row(writer, 2, canvas_y).first + valid.x * step;
    const T* red_values = table(writer, 0);
    const T* green_values = table(writer, 1);
    const T* blue_values = table(writer, 2);
    for (std::int64_t x = 0; x < valid.width; ++x, pixels += stride) {
      red[x * step] = red_values[pixels[0]];
      green[x * step] = green_values[pixels[1]];
      blue[x * step] = blue_values[pixels[2]];
    }
  }

  static void fill_borders(const SlotWriter& writer) {
    const View& view = writer.view_;
    for (int channel = 0; channel < writer.num_channels_; ++channel) {
      for (std::int64_t y = 0; y < view.canvas.height; ++y) {
        if (y < view.valid.y || y >= view.valid.y + view.valid.height) fill(writer, channel, y, 0, view.canvas.width);
      }
    }
  }
};

SlotWriter::SlotWriter(const View& view, int num_channels, const ValueTables& tables, const Slot& slot)
    : view_(view),
      num_channels_(num_channels),
      layout_(slot.layout),
      data_(slot.data),
      filler_(fill_pixel(view.fill, num_channels)) {
  for (int channel = 0; channel < num_channels; ++channel) {
    tables_[static_cast<std::size_t>(channel)] = tables.table(slot.dtype, channel);
  }
  const auto use = [this]<class T>(T) {
    write_row_ = ElementsOf<T>::write_row;
    fill_borders_ = ElementsOf<T>::fill_borders;
  };
  switch (size_bytes(slot.dtype)) {
    case 1:
      use(std::uint8_t{});
      break;
    case 2:
      use(std::uint16_t{});
      break;
    default:
      use(float{});
      break;
  }
}

void draw(const View& view, const ImageView& shown, const ValueTables& tables, Image& out) {
  out.reshape(view.canvas, shown.channels);
  const SlotWriter writer(view, shown.channels, tables,
                          {reinterpret_cast<std::byte*>(out.data()), DType::uint8, Layout::nhwc});
  for (std::int64_t y = 0; y < shown.size.height; ++y) writer(y, shown.row(y));
  writer.fill_borders();
}

void draw_border(const Border& border, const ImageView& in, Image& out) {
  out.reshape(output_size(border, in.size), in.channels);
  const auto channels = static_cast<std::size_t>(in.channels);
  for (std::int64_t y = 0; y < out.height(); ++y) {
    const std::uint8_t* from = in.row(border_source(border.mode, y - border.padding.top, in.size.height));
    std::uint8_t* to = out.row(y);
    for (std::int64_t x = 0; x < out.width(); ++x) {
      const std::int64_t column = border_source(border.mode, x - border.padding.left, in.size.width);
      std::memcpy(to + x * in.channels, from + column * in.channels, channels);
    }
  }
}

}  // namespace muster

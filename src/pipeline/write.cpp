#include "pipeline/write.hpp"

#include <algorithm>
#include <cstring>

namespace muster {
namespace {

/// Writes one channel of the view as T. Element (y, x) goes to out[y · row_step + x · step].
template <class T, class Lookup>
void write_channel(const View& view, const ImageView& shown, int channel, const Lookup& lookup, T* out,
                   std::int64_t row_step, std::int64_t step) {
  const T filler = lookup(fill_pixel(view.fill, shown.channels)[static_cast<std::size_t>(channel)]);
  const Rect& valid = view.valid;
  const auto fill = [&](T* row, std::int64_t from, std::int64_t to) {
    for (std::int64_t x = from; x < to; ++x) row[x * step] = filler;
  };
  // A mirrored row is read backwards.
  const std::int64_t stride = view.flip_horizontal ? -shown.channels : shown.channels;
  const std::int64_t first = (view.flip_horizontal ? (valid.width - 1) * shown.channels : 0) + channel;
  for (std::int64_t y = 0; y < view.canvas.height; ++y) {
    T* row = out + y * row_step;
    const std::int64_t inside = y - valid.y;
    if (inside < 0 || inside >= valid.height) {
      fill(row, 0, view.canvas.width);
      continue;
    }
    fill(row, 0, valid.x);
    const std::uint8_t* pixel = shown.row(view.flip_vertical ? valid.height - 1 - inside : inside) + first;
    T* element = row + valid.x * step;
    for (std::int64_t x = 0; x < valid.width; ++x) {
      element[x * step] = lookup(pixel[x * stride]);
    }
    fill(row, valid.x + valid.width, view.canvas.width);
  }
}

template <class T, class TableOf>
void write_channels(const View& view, const ImageView& shown, Layout layout, const TableOf& table_of, T* out) {
  const std::int64_t channels = shown.channels;
  for (int channel = 0; channel < shown.channels; ++channel) {
    const auto lookup = table_of(channel);
    if (layout == Layout::nchw) {
      write_channel(view, shown, channel, lookup, out + channel * view.canvas.height * view.canvas.width,
                    view.canvas.width, 1);
    } else {
      write_channel(view, shown, channel, lookup, out + channel, view.canvas.width * channels, channels);
    }
  }
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

ValueTables::ValueTables(const std::vector<Stage>& stages, int num_channels) : num_channels_(num_channels) {
  for (int channel = 0; channel < num_channels; ++channel) {
    std::array<float, 256>& floats = floats_[index(channel)];
    for (std::size_t value = 0; value < floats.size(); ++value) floats[value] = static_cast<float>(value);
    for (const Stage& stage : stages) {
      if (stage.kind() == StageKind::value) floats = stage.table(channel);
    }
    std::transform(floats.begin(), floats.end(), float16_[index(channel)].begin(), to_float16);
    std::transform(floats.begin(), floats.end(), bfloat16_[index(channel)].begin(), to_bfloat16);
  }
}

std::array<std::uint8_t, 3> fill_pixel(Fill fill, int num_channels) noexcept {
  if (num_channels == 3) return fill.rgb;
  const auto [red, green, blue] = fill.rgb;
  return {static_cast<std::uint8_t>((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16), 0, 0};
}

void write(const View& view, const ImageView& shown, const ValueTables& tables, const Slot& slot) {
  const auto table_lookup = [](const auto* table) { return [table](std::uint8_t value) { return table[value]; }; };
  switch (slot.dtype) {
    case DType::uint8:
      write_channels(
          view, shown, slot.layout, [](int) { return [](std::uint8_t value) { return value; }; },
          reinterpret_cast<std::uint8_t*>(slot.data));
      break;
    case DType::float32:
      write_channels(
          view, shown, slot.layout, [&](int channel) { return table_lookup(tables.floats(channel)); },
          reinterpret_cast<float*>(slot.data));
      break;
    case DType::float16:
      write_channels(
          view, shown, slot.layout, [&](int channel) { return table_lookup(tables.float16(channel)); },
          reinterpret_cast<std::uint16_t*>(slot.data));
      break;
    case DType::bfloat16:
      write_channels(
          view, shown, slot.layout, [&](int channel) { return table_lookup(tables.bfloat16(channel)); },
          reinterpret_cast<std::uint16_t*>(slot.data));
      break;
    case DType::int64:
      throw ConfigError("write", "images are uint8, float16, bfloat16 or float32, not int64");
  }
}

void draw(const View& view, const ImageView& shown, Image& out) {
  out.reshape(view.canvas, shown.channels);
  write_channels(
      view, shown, Layout::nhwc, [](int) { return [](std::uint8_t value) { return value; }; }, out.data());
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

// The contact sheet of a batch: floats turned back into pixels.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "muster/preview.hpp"
#include "pipeline/proof.hpp"
#include "pipeline/write.hpp"
#include "preview/collect.hpp"
#include "preview/tiles.hpp"
#include "preview/words.hpp"

namespace muster {
namespace {

using namespace style;

/// How the axes of a batch's images are laid out.
struct Axes {
  std::int64_t channels = 0;
  Size size;
};

Axes axes_of(const Tensor& images, Layout layout) {
  const Shape& shape = images.shape();
  if (shape.rank() == 4) {
    const bool nchw = layout == Layout::nchw;
    const Axes axes = {nchw ? shape[1] : shape[3], {nchw ? shape[2] : shape[1], nchw ? shape[3] : shape[2]}};
    const bool has_pixels = axes.size.height >= 1 && axes.size.width >= 1;
    if ((axes.channels == 1 || axes.channels == 3) && has_pixels) return axes;
  }
  throw ShapeError("contact_sheet", fmt::format("expected images of 1 or 3 channels as {}, received {}; is the layout "
                                                "that of the loader?",
                                                name(layout), shape.to_string()));
}

float read_float(const std::byte* element, DType dtype) {
  if (dtype == DType::float32) {
    float value = 0;
    std::memcpy(&value, element, sizeof value);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, element, sizeof bits);
  return dtype == DType::float16 ? from_float16(bits) : from_bfloat16(bits);
}

/// Which of 256 floats is nearest, by one search.
class InverseTable {
 public:
  InverseTable(const ValueTables& tables, DType dtype, int channel) {
    const auto* elements = static_cast<const std::byte*>(tables.table(dtype, channel));
    for (std::size_t pixel = 0; pixel < sorted_.size(); ++pixel) {
      const float value = read_float(elements + pixel * size_bytes(dtype), dtype);
      sorted_[pixel] = {std::isnan(value) ? 0 : value, static_cast<std::uint8_t>(pixel)};
    }
    std::ranges::stable_sort(sorted_, {}, &Entry::value);
  }

  std::uint8_t operator()(float value) const {
    const auto* const above = std::ranges::lower_bound(sorted_, value, {}, &Entry::value);
    if (above == sorted_.begin()) return above->pixel;
    if (above == sorted_.end()) return sorted_.back().pixel;
    const Entry& below = above[-1];
    return value - below.value < above->value - value ? below.pixel : above->pixel;
  }

 private:
  struct Entry {
    float value;
    std::uint8_t pixel;
  };
  std::array<Entry, 256> sorted_{};
};

/// Turns rows of a batch into images.
class PixelReader {
 public:
  PixelReader(const Tensor& images, const BatchSheetOptions& options)
      : images_(images), axes_(axes_of(images, options.layout)), nchw_(options.layout == Layout::nchw) {
    if (images.dtype() == DType::uint8) return;
    if (images.dtype() == DType::int64) {
      throw ShapeError("contact_sheet", "expected images of uint8 or floats, received int64");
    }
    if (!options.pipeline && !options.normalize) {
      throw ConfigError("contact_sheet", fmt::format("a batch of {} needs the `pipeline` that made it, or `normalize`, "
                                                     "to become pixels again",
                                                     name(images.dtype())));
    }
    const auto num_channels = static_cast<int>(axes_.channels);
    if (options.pipeline && options.pipeline->num_channels() != num_channels) {
      throw ShapeError("contact_sheet", fmt::format("expected {} channels, as the pipeline makes them, received {}",
                                                    options.pipeline->num_channels(), num_channels));
    }
    if (!options.pipeline) validate(*options.normalize, num_channels);
    const ValueTables tables(options.pipeline ? options.pipeline->stages() : std::vector<Stage>{*options.normalize},
                             num_channels);
    for (int channel = 0; channel < num_channels; ++channel) inverse_.emplace_back(tables, images.dtype(), channel);
  }

  Size size() const { return axes_.size; }

  Image row(std::int64_t i) const {
    const std::byte* elements = images_.row(i).data();
    const std::size_t element_size = size_bytes(images_.dtype());
    const auto [height, width] = axes_.size;
    Image image(axes_.size, static_cast<int>(axes_.channels));
    for (std::int64_t y = 0; y < height; ++y) {
      std::uint8_t* out = image.row(y);
      for (std::int64_t x = 0; x < width; ++x) {
        for (std::int64_t channel = 0; channel < axes_.channels; ++channel) {
          const std::int64_t at =
              nchw_ ? (channel * height + y) * width + x : (y * width + x) * axes_.channels + channel;
          *out++ = pixel(elements + static_cast<std::size_t>(at) * element_size, static_cast<std::size_t>(channel));
        }
      }
    }
    return image;
  }

 private:
  std::uint8_t pixel(const std::byte* element, std::size_t channel) const {
    if (inverse_.empty()) return std::to_integer<std::uint8_t>(*element);
    return inverse_[channel](read_float(element, images_.dtype()));
  }

  const Tensor& images_;
  const Axes axes_;
  const bool nchw_;
  std::vector<InverseTable> inverse_;
};

/// A row of the batch on the sheet.
struct Cell {
  Picture picture;
  std::string badge;  // "FILLER", "MASKED", "SUBSTITUTE", "WRAPPED"; empty for a row like any other
  Colour badge_colour = faint_ink;
  std::vector<std::string> captions;
  const Plan* plan = nullptr;

  std::int64_t captions_height() const { return (std::ssize(captions) + (badge.empty() ? 0 : 1)) * line_height + 6; }
};

class BatchSheet {
 public:
  BatchSheet(const Batch& batch, const BatchSheetOptions& options)
      : batch_(batch), options_(options), reader_(batch.images, options) {
    const std::int64_t count = std::min(options.max_rows, batch.num_rows());
    const std::int64_t columns = std::min(options.num_columns, std::max<std::int64_t>(count, 1));
    const std::int64_t width = 2 * margin - gap + std::max<std::int64_t>(columns * (options.cell + gap), 480);
    const auto check_size = [&](std::int64_t height) {
      check_sheet_size(
          {height, width},
          fmt::format("{} rows, {} beside each other in cells of {} pixels,", count, columns, options.cell),
          "ask for fewer rows, a smaller cell, or, where it is too high, more columns");
    };
    const std::int64_t picture = fit(reader_.size(), {options.cell, options.cell}, least_side).height;
    check_size((count + columns - 1) / columns * (picture + line_height + gap));  // before pictures are made
    for (std::int64_t i = 0; i < count; ++i) cells_.push_back(make_cell(i));
    const std::vector<std::string> facts = wrap_text(subtitle(), text_height, width - 2 * margin, 4);
    const std::int64_t header = margin + (1 + std::ssize(facts)) * line_height + gap;
    std::int64_t height = header + margin;
    for (std::size_t first = 0; first < cells_.size(); first += static_cast<std::size_t>(columns)) {
      const auto [pictures, captions] = heights(first, columns);
      height += pictures + captions + gap;
    }
    check_size(height);
    Canvas canvas({height, width}, paper);
    canvas.draw_text(fit_text(title(), text_height, width - 2 * margin), margin, margin, text_height, ink);
    for (std::size_t i = 0; i < facts.size(); ++i) {
      canvas.draw_text(facts[i], margin + (1 + static_cast<std::int64_t>(i)) * line_height, margin, text_height,
                       faint_ink);
    }
    std::int64_t y = header;
    for (std::size_t first = 0; first < cells_.size(); first += static_cast<std::size_t>(columns)) {
      const auto [pictures, captions] = heights(first, columns);
      const std::size_t end = std::min(cells_.size(), first + static_cast<std::size_t>(columns));
      for (std::size_t i = first; i < end; ++i) {
        draw(canvas, cells_[i], y, margin + static_cast<std::int64_t>(i - first) * (options.cell + gap),
             y + pictures + 6);
      }
      y += pictures + captions + gap;
    }
    image_ = std::move(canvas).take();
  }

  Image take() && { return std::move(image_); }

 private:
  std::string label_of(std::int64_t i) const {
    return describe_label(batch_.labels.as<std::int64_t>()[static_cast<std::size_t>(i)], options_.classes);
  }

  void add_lines(Cell& cell, const std::string& text, std::size_t num_lines) const {
    for (std::string& line : wrap_text(text, text_height, options_.cell, num_lines)) {
      cell.captions.push_back(std::move(line));
    }
  }

  Cell make_cell(std::int64_t i) const {
    const auto k = static_cast<std::size_t>(i);
    Cell cell;
    cell.picture = make_picture(reader_.row(i), {options_.cell, options_.cell});
    if (batch_.rows[k] == Batch::no_sample) {
      cell.badge = "FILLER";
      cell.captions = {"no sample", label_of(i), "valid 0: the epoch ended"};
      return cell;
    }
    cell.captions = {fmt::format("row {}  id {}", batch_.rows[k], batch_.ids[k]), label_of(i)};
    const Incident* incident = batch_.incident(i);
    if (batch_.valid.as<std::uint8_t>()[k] != 0) {
      cell.plan = &batch_.plans[k];
      add_lines(cell, describe_window(*cell.plan), 2);
      if (incident == nullptr) {
        add_lines(cell, describe_changes(*cell.plan), 2);
        if (options_.pipeline) add_lines(cell, describe_drawn(*cell.plan, *options_.pipeline), 4);
      }
    }
    if (incident != nullptr) {
      switch (incident->outcome) {
        case Outcome::substituted:
          cell.badge = "SUBSTITUTE";
          cell.badge_colour = substitute_ink;
          add_lines(cell, fmt::format("for id {}: {}", incident->sample_id, incident->message), 3);
          break;
        case Outcome::warned:
          cell.badge = "WARNED";
          cell.badge_colour = substitute_ink;
          add_lines(cell, incident->message, 3);
          break;
        default:
          cell.badge = "MASKED";
          cell.badge_colour = error_ink;
          cell.captions.push_back(incident->path);
          add_lines(cell, incident->message, 3);
      }
    } else if (i >= batch_.num_rows() - batch_.num_wrapped) {
      cell.badge = "WRAPPED";
    }
    return cell;
  }

  /// Of the pictures alone, and of their captions.
  std::pair<std::int64_t, std::int64_t> heights(std::size_t first, std::int64_t columns) const {
    std::int64_t pictures = 0, captions = 0;
    for (std::size_t i = first; i < std::min(cells_.size(), first + static_cast<std::size_t>(columns)); ++i) {
      pictures = std::max(pictures, cells_[i].picture.drawn.height);
      captions = std::max(captions, cells_[i].captions_height());
    }
    return {pictures, captions};
  }

  std::string title() const {
    return fmt::format("batch {} of epoch {}:  {} {} {}", batch_.index, batch_.epoch, name(batch_.images.dtype()),
                       name(options_.layout), batch_.images.shape().to_string());
  }

  std::string subtitle() const {
    const bool all = std::ssize(cells_) == batch_.num_rows();
    const bool placed = std::ranges::any_of(cells_, [](const Cell& cell) { return cell.plan != nullptr; });
    return fmt::format("{}   {}windows as y, x of their corner, height x width{}",
                       all ? fmt::format("{} rows", cells_.size())
                           : fmt::format("the first {} of {} rows", cells_.size(), batch_.num_rows()),
                       batch_.images.dtype() == DType::uint8 ? "" : "floats turned back into pixels   ",
                       placed ? "   small drawings: the source in grey, the window in blue" : "");
  }

  void draw(Canvas& canvas, const Cell& cell, std::int64_t y, std::int64_t x, std::int64_t below) const {
    canvas.draw_picture(cell.picture.image.view(), y, x);
    if (cell.plan != nullptr) draw_place(canvas, *cell.plan, below + 2, x + options_.cell - place_size);
    const std::int64_t beside = options_.cell - place_size - 6;  // the place of the window is to the right
    if (!cell.badge.empty()) {
      canvas.fill({y - 3, x - 3, 3, cell.picture.drawn.width + 6}, cell.badge_colour);
      draw_caption(canvas, cell.badge, below, x, cell.badge_colour, beside);
    }
    std::int64_t line_y = cell.badge.empty() ? below : below + line_height;
    for (std::size_t i = 0; i < cell.captions.size(); ++i) {
      const bool narrow = line_y < below + place_size;
      draw_caption(canvas, cell.captions[i], line_y, x, i == 0 ? ink : faint_ink, narrow ? beside : options_.cell);
      line_y += line_height;
    }
  }

  /// Where in its source the window lies, as a drawing without pixels.
  static void draw_place(Canvas& canvas, const Plan& plan, std::int64_t y, std::int64_t x) {
    const auto [height, width] = plan.source;
    const std::int64_t longer = std::max(height, width);
    const auto scaled = [&](std::int64_t value) { return (value * place_size + longer / 2) / longer; };
    const Size drawn = {std::max<std::int64_t>(3, scaled(height)), std::max<std::int64_t>(3, scaled(width))};
    const Rect& window = plan.window;
    const std::int64_t top = scaled(window.y), left = scaled(window.x);
    const std::int64_t bottom = std::max(top + 1, std::min(drawn.height, scaled(window.y + window.height)));
    const std::int64_t right = std::max(left + 1, std::min(drawn.width, scaled(window.x + window.width)));
    x += place_size - drawn.width;
    canvas.fill({y, x, drawn.height, drawn.width}, quiet_paper);
    canvas.fill({y + top, x + left, bottom - top, right - left}, variant_colours[1]);
    canvas.draw_frame({y, x, drawn.height, drawn.width}, 1, faint_ink);
  }

  static constexpr std::int64_t place_size = 28;

  const Batch& batch_;
  const BatchSheetOptions& options_;
  PixelReader reader_;
  std::vector<Cell> cells_;
  Image image_;
};

void check(const Batch& batch, const BatchSheetOptions& options) {
  expect_range("contact_sheet", "max_rows", options.max_rows, 1, 10'000);
  check_grid("contact_sheet", options.num_columns, options.cell);
  const auto n = static_cast<std::size_t>(batch.num_rows());
  const bool fits = batch.labels.num_rows() == batch.num_rows() && batch.valid.num_rows() == batch.num_rows() &&
                    batch.ids.size() == n && batch.rows.size() == n && batch.plans.size() == n;
  if (!fits) throw ShapeError("contact_sheet", "the members of the batch do not have one number of rows");
}

}  // namespace

Image contact_sheet(const Batch& batch, const BatchSheetOptions& options) {
  check(batch, options);
  return BatchSheet(batch, options).take();
}

}  // namespace muster

// The contact sheet of a loader.
#include "muster/preview.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "preview/collect.hpp"
#include "preview/tiles.hpp"
#include "preview/words.hpp"

namespace muster {
namespace {

using namespace style;
using Fate = Variant::Fate;

constexpr std::int64_t captions_height = 3 * line_height + 6;  // usually
constexpr std::int64_t narrow = 160;                           // cells below this have no room for captions

/// Of a line with that many variants.
std::int64_t num_grid_rows(std::int64_t num_variants, const PreviewOptions& options) {
  return (num_variants + options.num_columns - 1) / options.num_columns;
}

Size variant_box(const PreviewOptions& options) { return {options.cell, options.cell}; }

/// The source is where the windows are drawn: beside one row of variants it may be half as wide again as one, beside
/// more as large as two by two.
Size source_box(const PreviewOptions& options) {
  if (num_grid_rows(options.num_variants, options) == 1) return {options.cell, options.cell * 3 / 2};
  return {2 * options.cell + captions_height + gap, 2 * options.cell};
}

std::int64_t sheet_width(std::int64_t num_columns, const PreviewOptions& options) {
  return 2 * margin + source_box(options).width + num_columns * (options.cell + gap);
}

std::int64_t least_captions_height(const PreviewOptions& options) {
  return options.cell < narrow ? tag_size + 8 : captions_height;
}

/// Captions stand beside the variant's tag.
std::int64_t caption_inset(std::size_t number) { return tag_width(number) + 5; }

struct Caption {
  std::string text;
  Colour colour = faint_ink;
};

/// A variant on the sheet: a picture, or a notice in its place.
struct Tile {
  std::optional<Picture> picture;
  Notice notice;
  Size drawn;
  std::optional<Rect> window;  // on its own source
  std::vector<Caption> captions;
  Colour frame = paper;
};

struct SheetLine {
  std::string name;
  std::array<std::string, 2> details;
  std::optional<Picture> source;
  std::string error;
  Size source_size;
  Size drawn;
  std::vector<Tile> tiles;
};

std::string title_of(Fate fate) {
  switch (fate) {
    case Fate::masked:
      return "MASKED: zeros";
    case Fate::raised:
      return "RAISED: the epoch ends";
    default:
      return "NOT IN THIS EPOCH";
  }
}

/// Variant `number` of its line, counted from 1.
Tile make_tile(const Variant& variant, std::size_t number, const Pipeline& pipeline, Size box) {
  Tile tile;
  std::string when = variant.fate == Fate::absent ? fmt::format("epoch {}", variant.epoch)
                                                  : fmt::format("epoch {}  row {}", variant.epoch, variant.row);
  if (variant.num_epochs > 1) when += fmt::format("  the same in all {} epochs", variant.num_epochs);
  if (variant.pixels.empty()) {
    tile.notice = {title_of(variant.fate), variant.reason, variant.fate != Fate::absent};
    tile.drawn = {std::min(box.height, 7 * line_height), box.width};
    if (box.width >= narrow) tile.captions = {{when, ink}};
    return tile;
  }
  tile.picture = make_picture(variant.pixels, box);
  tile.drawn = tile.picture->drawn;
  if (variant.fate == Fate::substituted) tile.frame = substitute_ink;
  if (variant.fate == Fate::shown) tile.window = variant.plan.window;
  if (box.width < narrow) return tile;
  const auto add = [&](const std::string& text, Colour colour, std::size_t num_lines) {
    for (std::string& line : wrap_text(text, text_height, box.width - caption_inset(number), num_lines)) {
      tile.captions.push_back({std::move(line), colour});
    }
  };
  add(describe_window(variant.plan), ink, 2);
  add(when, faint_ink, 2);
  add(describe_changes(variant.plan), faint_ink, 2);
  add(describe_drawn(variant.plan, pipeline), faint_ink, 4);
  if (variant.fate == Fate::substituted) {
    tile.captions.push_back({fmt::format("SUBSTITUTE: id {}", variant.id), substitute_ink});
    tile.captions.push_back({variant.name, substitute_ink});
  }
  if (!variant.reason.empty()) {
    const std::string why = variant.fate == Fate::substituted ? "because" : "warned:";
    add(fmt::format("{} {}", why, variant.reason), substitute_ink, 3);
  }
  return tile;
}

/// Keeps of a line what the sheet shows.
SheetLine make_line(const Line& line, const Pipeline& pipeline, const PreviewOptions& options) {
  SheetLine result;
  result.name = line.name;
  result.details = {
      fmt::format("id {}  {}", line.id, line.label),
      line.source_size == Size{} ? line.detail : fmt::format("{}  {}", to_string(line.source_size), line.detail)};
  result.source_size = line.source_size;
  const Size box = source_box(options);
  if (line.source.empty()) {
    result.error = line.error;
    result.drawn = {std::min(options.cell, 7 * line_height), box.width};
  } else {
    result.source = make_picture(line.source, box);
    result.drawn = result.source->drawn;
  }
  for (const Variant& variant : line.variants) {
    result.tiles.push_back(make_tile(variant, result.tiles.size() + 1, pipeline, variant_box(options)));
  }
  return result;
}

constexpr std::string_view sheet_advice =
    "ask for fewer samples or variants, a smaller cell, or, where it is too high, more columns";

std::string words_for(std::size_t num_samples, const PreviewOptions& options) {
  return fmt::format("{} samples of {} variants, {} beside each other in cells of {} pixels,", num_samples,
                     options.num_variants, std::min(options.num_variants, options.num_columns), options.cell);
}

class Sheet {
 public:
  Sheet(const Loader& loader, const PreviewOptions& options, const std::vector<SheetLine>& lines)
      : options_(options),
        lines_(lines),
        width_(sheet_width(num_columns(lines, options), options)),
        header_(header_lines(loader, width_ - 2 * margin)),
        canvas_(checked_size(), paper) {
    std::int64_t y = margin;
    for (std::size_t i = 0; i < header_.size(); ++i) {
      canvas_.draw_text(header_[i], y, margin, text_height, i < num_stage_lines_ ? ink : faint_ink);
      y += line_height;
    }
    y = header_height();
    for (const SheetLine& line : lines_) {
      draw(line, y);
      y += height_of(line) + line_height;
    }
  }

  Image take() && { return std::move(canvas_).take(); }

 private:
  static std::int64_t num_columns(const std::vector<SheetLine>& lines, const PreviewOptions& options) {
    std::int64_t columns = 1;
    for (const SheetLine& line : lines) {
      columns = std::max(columns, std::min(std::ssize(line.tiles), options.num_columns));
    }
    return columns;
  }

  /// The pipeline, as many lines as it takes, and what holds for all pictures.
  std::vector<std::string> header_lines(const Loader& loader, std::int64_t width) {
    std::string stages;
    for (const ShapeProof::Row& row : loader.pipeline().proof().rows) {
      stages += fmt::format("{}{}", stages.empty() ? "" : "  >  ", row.stage);
    }
    std::vector<std::string> lines = wrap_text(stages, text_height, width, 6);
    num_stage_lines_ = lines.size();
    const LoaderOptions& options = loader.options();
    const std::string values = value_stages(loader.pipeline());
    const std::string facts =
        fmt::format("seed {}   on error: {}   {}windows as y, x of their corner, height x width", options.seed,
                    name(options.on_error), values.empty() ? "" : "every picture before " + values + "   ");
    for (std::string& line : wrap_text(facts, text_height, width, 3)) lines.push_back(std::move(line));
    return lines;
  }

  /// Captions may be longer than was reckoned before the samples were read.
  Size checked_size() const {
    const Size size = {sheet_height(), width_};
    check_sheet_size(size, words_for(lines_.size(), options_), sheet_advice);
    return size;
  }

  std::int64_t header_height() const { return margin + static_cast<std::int64_t>(header_.size()) * line_height + gap; }

  std::int64_t sheet_height() const {
    std::int64_t height = header_height() + margin - line_height;
    for (const SheetLine& line : lines_) height += height_of(line) + line_height;
    return height;
  }

  /// The tiles of one row of a line's grid of variants.
  template <class Use>
  void for_row(const SheetLine& line, std::int64_t grid_row, Use&& use) const {
    const auto first = static_cast<std::size_t>(grid_row * options_.num_columns);
    const std::size_t end = std::min(line.tiles.size(), first + static_cast<std::size_t>(options_.num_columns));
    for (std::size_t i = first; i < end; ++i) use(line.tiles[i]);
  }

  /// The height of that row's captions.
  std::int64_t captions_of(const SheetLine& line, std::int64_t grid_row) const {
    std::int64_t height = least_captions_height(options_);
    for_row(line, grid_row, [&](const Tile& tile) {
      height = std::max(height, static_cast<std::int64_t>(tile.captions.size()) * line_height + 6);
    });
    return height;
  }

  /// Of one row of a line's grid of variants, captions included.
  std::int64_t grid_row_height(const SheetLine& line, std::int64_t grid_row) const {
    std::int64_t height = 0;
    for_row(line, grid_row, [&](const Tile& tile) { height = std::max(height, tile.drawn.height); });
    return height + captions_of(line, grid_row);
  }

  std::int64_t height_of(const SheetLine& line) const {
    std::int64_t height = 0;
    for (std::int64_t row = 0; row < num_grid_rows(std::ssize(line.tiles), options_); ++row) {
      height += grid_row_height(line, row) + (row > 0 ? gap : 0);
    }
    return std::max(height, source_height(line) + captions_height);
  }

  /// Tags of windows need some room, however small the picture is.
  static std::int64_t source_height(const SheetLine& line) { return std::max(line.drawn.height, tag_size); }

  void draw(const SheetLine& line, std::int64_t y) {
    const std::int64_t width = source_box(options_).width;
    if (line.source) {
      canvas_.draw_picture(line.source->image.view(), y, margin);
      draw_windows(line, y);
    } else {
      draw_notice(canvas_, {"CANNOT BE SHOWN", line.error, true}, {y, margin, line.drawn.height, line.drawn.width});
    }
    const std::int64_t below = y + source_height(line) + 6;
    draw_caption(canvas_, line.name, below, margin, ink, width);
    draw_caption(canvas_, line.details[0], below + line_height, margin, faint_ink, width);
    draw_caption(canvas_, line.details[1], below + 2 * line_height, margin, faint_ink, width);

    std::int64_t row_y = y;
    for (std::int64_t row = 0; row < num_grid_rows(std::ssize(line.tiles), options_); ++row) {
      const std::int64_t height = grid_row_height(line, row);
      for (std::int64_t column = 0; column < options_.num_columns; ++column) {
        const auto i = static_cast<std::size_t>(row * options_.num_columns + column);
        if (i < line.tiles.size()) {
          draw(line.tiles[i], i, row_y, margin + width + gap + column * (options_.cell + gap),
               row_y + height - captions_of(line, row) + 6);
        }
      }
      row_y += height + gap;
    }
  }

  void draw(const Tile& tile, std::size_t index, std::int64_t y, std::int64_t x, std::int64_t below) {
    const Rect area = {y, x, tile.drawn.height, tile.drawn.width};
    if (tile.picture) {
      // A frame lies outside: no pixel of the picture is covered.
      canvas_.draw_frame({area.y - 3, area.x - 3, area.height + 6, area.width + 6}, 3, tile.frame);
      canvas_.draw_picture(tile.picture->image.view(), y, x);
    } else {
      draw_notice(canvas_, tile.notice, area);
    }
    draw_tag(canvas_, index + 1, colour_of(index), below, x);
    const std::int64_t inset = caption_inset(index + 1);
    for (std::size_t i = 0; i < tile.captions.size(); ++i) {
      draw_caption(canvas_, tile.captions[i].text, below + static_cast<std::int64_t>(i) * line_height, x + inset,
                   tile.captions[i].colour, options_.cell - inset);
    }
  }

  /// Every variant's window on the source, largest first, so that none hides another.
  void draw_windows(const SheetLine& line, std::int64_t y) {
    std::vector<std::pair<Rect, std::size_t>> windows;
    for (std::size_t i = 0; i < line.tiles.size(); ++i) {
      if (!line.tiles[i].window) continue;
      const Rect area = scale_window(*line.tiles[i].window, line.source_size, line.drawn);
      windows.emplace_back(Rect{y + area.y, margin + area.x, area.height, area.width}, i);
    }
    std::ranges::stable_sort(windows, std::greater{},
                             [](const auto& entry) { return entry.first.height * entry.first.width; });
    const bool many = windows.size() > most_tagged;
    for (const auto& [area, i] : windows) {
      if (!many) canvas_.draw_frame({area.y - 1, area.x - 1, area.height + 2, area.width + 2}, 1, white);
      canvas_.draw_frame(area, many ? 1 : 2, colour_of(i));
    }
    if (many) {
      canvas_.draw_picture(line.source->image.view(), y, margin, 160);  // is still to be seen
      return;
    }
    TagPlaces places({y, margin, source_height(line), std::max(line.drawn.width, tag_size)});
    for (const auto& [area, i] : windows) {
      const Rect place = places.next(area, {tag_size, tag_width(i + 1)});
      draw_tag(canvas_, i + 1, colour_of(i), place.y, place.x);
    }
  }

  const PreviewOptions& options_;
  const std::vector<SheetLine>& lines_;
  const std::int64_t width_;
  std::size_t num_stage_lines_ = 0;  // of the header, counted as it is made
  const std::vector<std::string> header_;
  Canvas canvas_;
};

/// Before a sample is read: with pictures as large as they will be, and captions no longer than usual.
void check_size(std::size_t num_samples, const Pipeline& pipeline, const PreviewOptions& options) {
  const Size output = pipeline.output_size();
  const double pixels = static_cast<double>(options.num_variants) * static_cast<double>(output.height) *
                        static_cast<double>(output.width);
  if (pixels > static_cast<double>(most_pixels)) {
    throw ConfigError("contact_sheet",
                      fmt::format("{} variants of {} are {:.0f} Mpixel, of one sample; expected at most {}; ask for "
                                  "fewer variants",
                                  options.num_variants, to_string(output), pixels / 1048576, most_pixels >> 20));
  }
  const std::int64_t picture = fit(output, variant_box(options), least_side).height;
  const std::int64_t grid_rows = num_grid_rows(options.num_variants, options);
  const std::int64_t line = grid_rows * (picture + least_captions_height(options) + gap) - gap + line_height;
  check_sheet_size({static_cast<std::int64_t>(num_samples) * line,
                    sheet_width(std::min(options.num_variants, options.num_columns), options)},
                   words_for(num_samples, options), sheet_advice);
}

}  // namespace

Image contact_sheet(const Loader& loader, const PreviewOptions& options) {
  check(options, "contact_sheet");
  std::vector<Wanted> wanted = wanted_samples(loader, options, "contact_sheet");
  check_size(wanted.size(), loader.pipeline(), options);
  Collector collector(loader, options, std::move(wanted), source_box(options));
  std::vector<SheetLine> lines;
  for (std::size_t i = 0; i < collector.num_lines(); ++i) {
    lines.push_back(make_line(collector.line(i), loader.pipeline(), options));
  }
  return Sheet(loader, options, lines).take();
}

}  // namespace muster

#include "muster/preview.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "preview/canvas.hpp"

namespace muster {
namespace {

constexpr Colour paper = {250, 250, 248};
constexpr Colour ink = {38, 40, 44};
constexpr Colour faint_ink = {120, 122, 128};
constexpr Colour error_paper = {250, 228, 224};
constexpr Colour error_ink = {150, 30, 20};
constexpr Colour white = {255, 255, 255};

/// Colours of variants: told apart by most eyes, and from most photographs.
constexpr std::array<Colour, 8> variant_colours = {{{230, 75, 53},
                                                    {0, 130, 200},
                                                    {60, 160, 75},
                                                    {240, 160, 20},
                                                    {145, 60, 180},
                                                    {0, 160, 160},
                                                    {215, 50, 140},
                                                    {120, 90, 50}}};

constexpr int text_height = 8;  // of capitals, in pixels
constexpr std::int64_t line_height = 16;
constexpr std::int64_t margin = 20;
constexpr std::int64_t gap = 12;
constexpr std::int64_t caption_height = 2 * line_height + 4;
constexpr std::int64_t max_sheet_pixels = std::int64_t{1} << 28;

Colour colour_of(std::size_t variant) { return variant_colours[variant % variant_colours.size()]; }

/// A picture in its size on the sheet, or why there is none.
struct Picture {
  std::variant<Image, std::string> content;
  Size drawn;  // what it covers

  const Image* image() const { return std::get_if<Image>(&content); }
  const std::string& error() const { return std::get<std::string>(content); }
};

struct Variant {
  Picture picture;
  std::optional<Plan> plan;  // where it could be made
};

/// One line of the sheet.
struct Line {
  std::string name;
  std::string detail;
  Picture source;
  Size source_size;
  std::vector<Variant> variants;
};

/// The source is where the windows are drawn, so it may be half as wide again as a variant.
Size source_box(const PreviewOptions& options) { return {options.cell, options.cell * 3 / 2}; }
Size variant_box(const PreviewOptions& options) { return {options.cell, options.cell}; }

/// `size`, scaled so that it just fits into `box`.
Size fit(Size size, Size box) {
  const bool tall = size.height * box.width > size.width * box.height;
  const std::int64_t in = tall ? size.height : size.width;
  const std::int64_t out = tall ? box.height : box.width;
  const auto scaled = [&](std::int64_t side) { return std::max<std::int64_t>(1, (side * out + in / 2) / in); };
  return {scaled(size.height), scaled(size.width)};
}

Picture make_picture(const Image& pixels, Size box) {
  const Size drawn = fit(pixels.size(), box);
  if (pixels.channels() == 3) return {scale_picture(pixels.view(), drawn), drawn};
  Image rgb;
  convert_color(pixels.view(), Color::rgb, rgb);
  return {scale_picture(rgb.view(), drawn), drawn};
}

Picture make_error(const std::exception& error, Size box) {
  const auto* ours = dynamic_cast<const Error*>(&error);
  return {ours != nullptr ? ours->message() : std::string(error.what()),
          {std::min(box.height, 6 * line_height), box.width}};
}

/// Reads samples and renders them as the loader would, as uint8.
class Collector {
 public:
  Collector(const Loader& loader, const PreviewOptions& options)
      : loader_(loader),
        options_(options),
        decoder_(loader.pipeline().decode_options(), loader.options().limits, loader.options().integrity),
        renderer_(loader.pipeline(), loader.options().limits, loader.options().integrity) {}

  Line line(std::uint64_t id) {
    Line line;
    line.name = loader_.source().name(id);
    line.variants.resize(static_cast<std::size_t>(options_.num_variants));
    try {
      read(id);
    } catch (const std::exception& error) {
      line.source = make_error(error, source_box(options_));
      return line;
    }
    line.source_size = size_;
    line.detail = fmt::format("{}  {}", to_string(size_), label());
    try {
      line.source = source_picture();
    } catch (const std::exception& error) {
      line.source = make_error(error, source_box(options_));
    }
    for (std::size_t i = 0; i < line.variants.size(); ++i) {
      line.variants[i] = variant({loader_.options().seed, options_.first_epoch + i, id});
    }
    return line;
  }

 private:
  void read(std::uint64_t id) {
    sample_.clear();
    loader_.source().read(id, sample_, {});
    if (sample_.image) {
      size_ = sample_.image->size();
    } else {
      info_ = renderer_.probe(sample_.bytes);
      size_ = info_.size;
    }
  }

  std::string label() const {
    const std::vector<std::string>& classes = loader_.source().classes();
    const bool named = sample_.label >= 0 && static_cast<std::size_t>(sample_.label) < classes.size();
    return named ? classes[static_cast<std::size_t>(sample_.label)] : fmt::format("label {}", sample_.label);
  }

  Picture source_picture() {
    Image pixels;
    if (sample_.image) {
      convert_color(sample_.image->view(), loader_.pipeline().decode_options().color, pixels);
    } else {
      decoder_.decode(sample_.bytes, info_, Rect::whole(size_), pixels);
    }
    return make_picture(pixels, source_box(options_));
  }

  Variant variant(const SampleKey& key) {
    const Pipeline& pipeline = loader_.pipeline();
    Variant result;
    try {
      Plan plan = pipeline.plan(size_, key);
      Image pixels(pipeline.output_size(), pipeline.num_channels());
      const Slot slot{reinterpret_cast<std::byte*>(pixels.data()), DType::uint8, Layout::nhwc};
      if (sample_.image) {
        renderer_.run(plan, sample_.image->view(), slot);
      } else {
        renderer_.run(plan, sample_.bytes, info_, slot);
      }
      result.picture = make_picture(pixels, variant_box(options_));
      result.plan = std::move(plan);
    } catch (const std::exception& error) {
      result.picture = make_error(error, variant_box(options_));
    }
    return result;
  }

  const Loader& loader_;
  const PreviewOptions& options_;
  Decoder decoder_;
  Renderer renderer_;
  Sample sample_;
  ImageInfo info_;
  Size size_;
};

/// The samples of the epoch's first rows.
std::vector<std::uint64_t> first_ids(const Loader& loader, const PreviewOptions& options) {
  const Order& order = *loader.options().order;  // the loader fills it in
  std::vector<std::uint64_t> ids;
  const std::uint64_t count = std::min(static_cast<std::uint64_t>(options.num_samples), order.num_rows());
  for (std::uint64_t row = 0; row < count; ++row) ids.push_back(order.sample_id(options.first_epoch, row));
  return ids;
}

/// What the pipeline does, on one line: "RandomResizedCrop(size=224x224) > ...".
std::string headline(const Pipeline& pipeline) {
  std::string text;
  for (const ShapeProof::Row& row : pipeline.proof().rows) {
    text += fmt::format("{}{}", text.empty() ? "" : "  >  ", row.stage);
  }
  return text;
}

/// "280x300 at 10,20  flipped": the window as height x width at y,x.
std::string describe(const Plan& plan) {
  std::string text = fmt::format("{} at {},{}", to_string(plan.window.size()), plan.window.y, plan.window.x);
  return plan.opaque ? text + " or so" : text;
}

std::string describe_flips(const Plan& plan) {
  if (plan.flip_horizontal && plan.flip_vertical) return "turned by 180";
  if (plan.flip_horizontal) return "flipped";
  return plan.flip_vertical ? "upside down" : "";
}

class Sheet {
 public:
  Sheet(const Loader& loader, const PreviewOptions& options, const std::vector<Line>& lines)
      : options_(options), lines_(lines), canvas_(sheet_size(options, lines), paper) {
    const std::int64_t width = sheet_size(options, lines).width - 2 * margin;
    canvas_.draw_text(fit_text(headline(loader.pipeline()), text_height + 1, width), margin, margin, text_height + 1,
                      ink);
    const std::string subtitle = fmt::format(
        "seed {}   every picture before Normalize   windows as height x width at y,x", loader.options().seed);
    canvas_.draw_text(fit_text(subtitle, text_height, width), margin + line_height + 2, margin, text_height, faint_ink);
    std::int64_t y = header_height();
    for (const Line& line : lines_) {
      draw(line, y);
      y += pictures_height(line, options) + caption_height + gap;
    }
  }

  /// Of the whole sheet.
  static Size sheet_size(const PreviewOptions& options, const std::vector<Line>& lines) {
    std::int64_t height = header_height() + margin - gap;
    for (const Line& line : lines) height += pictures_height(line, options) + caption_height + gap;
    return {height, 2 * margin + source_box(options).width + options.num_variants * (options.cell + gap)};
  }

  Image take() && { return std::move(canvas_).take(); }

 private:
  static std::int64_t header_height() { return margin + 2 * line_height + gap; }

  static std::int64_t pictures_height(const Line& line, const PreviewOptions& options) {
    std::int64_t height = std::min<std::int64_t>(options.cell, 4 * line_height);
    height = std::max(height, line.source.drawn.height);
    for (const Variant& variant : line.variants) height = std::max(height, variant.picture.drawn.height);
    return height;
  }

  void draw(const Line& line, std::int64_t y) {
    const std::int64_t below = y + pictures_height(line, options_) + 6;
    draw(line.source, y, margin);
    const std::int64_t source_width = source_box(options_).width;
    caption(line.name, below, margin, ink, source_width);
    caption(line.detail, below + line_height, margin, faint_ink, source_width);
    if (line.source.image() != nullptr) draw_windows(line, y);

    for (std::size_t i = 0; i < line.variants.size(); ++i) {
      const std::int64_t x =
          margin + source_box(options_).width + gap + (options_.cell + gap) * static_cast<std::int64_t>(i);
      const Variant& variant = line.variants[i];
      if (variant.picture.drawn == Size{}) continue;  // the sample could not even be read
      draw(variant.picture, y, x);
      tag(i, below, x);
      if (!variant.plan) continue;
      const std::int64_t text_x = x + tag_size + 5;
      const std::int64_t width = options_.cell - (text_x - x);
      caption(describe(*variant.plan), below, text_x, ink, width);
      caption(fmt::format("epoch {}  {}", options_.first_epoch + i, describe_flips(*variant.plan)), below + line_height,
              text_x, faint_ink, width);
    }
  }

  void draw(const Picture& picture, std::int64_t y, std::int64_t x) {
    const Rect area = {y, x, picture.drawn.height, picture.drawn.width};
    if (const Image* image = picture.image()) {
      canvas_.draw_picture(image->view(), y, x);
      return;
    }
    canvas_.fill(area, error_paper);
    canvas_.draw_frame(area, 1, error_ink);
    constexpr std::int64_t inset = 8;
    const auto num_lines = static_cast<std::size_t>(std::max<std::int64_t>(1, (area.height - inset) / line_height));
    std::int64_t line_y = y + inset;
    for (const std::string& text : wrap_text(picture.error(), text_height, area.width - 2 * inset, num_lines)) {
      canvas_.draw_text(text, line_y, x + inset, text_height, error_ink);
      line_y += line_height;
    }
  }

  /// Every variant's window on the source, largest first, so that none hides another.
  void draw_windows(const Line& line, std::int64_t y) {
    const Size drawn = line.source.drawn;
    const auto on_sheet = [&](const Rect& window) {
      const std::int64_t top = window.y * drawn.height / line.source_size.height;
      const std::int64_t left = window.x * drawn.width / line.source_size.width;
      const std::int64_t bottom =
          ((window.y + window.height) * drawn.height + line.source_size.height - 1) / line.source_size.height;
      const std::int64_t right =
          ((window.x + window.width) * drawn.width + line.source_size.width - 1) / line.source_size.width;
      return Rect{y + top, margin + left, bottom - top, right - left};
    };
    std::vector<std::pair<Rect, std::size_t>> windows;
    for (std::size_t i = 0; i < line.variants.size(); ++i) {
      if (line.variants[i].plan) windows.emplace_back(on_sheet(line.variants[i].plan->window), i);
    }
    std::ranges::stable_sort(windows, std::greater{},
                             [](const auto& entry) { return entry.first.height * entry.first.width; });
    for (const auto& [area, i] : windows) {
      canvas_.draw_frame({area.y - 1, area.x - 1, area.height + 2, area.width + 2}, 1, white);
      canvas_.draw_frame(area, 2, colour_of(i));
    }
    std::vector<Rect> taken;
    for (const auto& [area, i] : windows) {
      const Rect place = free_place(area, taken);
      taken.push_back(place);
      tag(i, place.y, place.x);
    }
  }

  /// Where the tag of a window goes: its corners first, then along its upper and lower edge.
  static Rect free_place(const Rect& area, const std::vector<Rect>& taken) {
    const std::int64_t right = area.x + area.width - tag_size;
    const std::int64_t bottom = area.y + area.height - tag_size;
    std::vector<Rect> places;
    for (const std::int64_t py : {area.y, bottom}) {
      for (const std::int64_t px : {area.x, right}) places.push_back({py, px, tag_size, tag_size});
    }
    for (const std::int64_t py : {area.y, bottom}) {
      for (std::int64_t px = area.x; px <= right; px += tag_size + 1) places.push_back({py, px, tag_size, tag_size});
    }
    const auto is_free = [&](const Rect& place) {
      return std::ranges::all_of(taken, [&](const Rect& other) { return intersect(place, other).empty(); });
    };
    const auto found = std::ranges::find_if(places, is_free);
    return found == places.end() ? places.front() : *found;
  }

  /// The number of a variant in its colour.
  void tag(std::size_t variant, std::int64_t y, std::int64_t x) {
    const std::string number = std::to_string(variant + 1);
    canvas_.fill({y, x, tag_size, tag_size}, colour_of(variant));
    canvas_.draw_text(number, y + (tag_size - text_height) / 2,
                      x + (tag_size - text_width(number, text_height)) / 2 + 1, text_height, white);
  }

  void caption(std::string_view text, std::int64_t y, std::int64_t x, Colour colour, std::int64_t width) {
    canvas_.draw_text(fit_text(text, text_height, width), y + 3, x, text_height, colour);
  }

  static constexpr std::int64_t tag_size = 14;

  const PreviewOptions& options_;
  const std::vector<Line>& lines_;
  Canvas canvas_;
};

void check(const PreviewOptions& options) {
  const auto expect = [](const char* name, std::int64_t value, std::int64_t low, std::int64_t high) {
    if (value < low || value > high) {
      throw ConfigError("contact_sheet", fmt::format("{}: expected {} ... {}, received {}", name, low, high, value));
    }
  };
  expect("num_samples", options.num_samples, 1, 1000);
  expect("num_variants", options.num_variants, 1, 100);
  expect("cell", options.cell, 32, 4096);
  const std::int64_t pixels = options.num_samples * (options.num_variants + 2) * options.cell * options.cell;
  if (pixels > max_sheet_pixels) {
    throw ConfigError("contact_sheet", fmt::format("{} samples of 1 + {} pictures of {} pixels make a sheet of {} "
                                                   "Mpixel, more than {}; ask for fewer or smaller ones",
                                                   options.num_samples, options.num_variants, options.cell,
                                                   pixels >> 20, max_sheet_pixels >> 20));
  }
}

}  // namespace

Image contact_sheet(const Loader& loader, const PreviewOptions& options) {
  check(options);
  Collector collector(loader, options);
  std::vector<Line> lines;
  for (const std::uint64_t id : first_ids(loader, options)) lines.push_back(collector.line(id));
  return Sheet(loader, options, lines).take();
}

}  // namespace muster

#include "preview/collect.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "preview/canvas.hpp"
#include "preview/words.hpp"

namespace muster {
namespace {

constexpr std::int64_t most_samples = 1000;
constexpr std::int64_t most_variants = 1000;

std::string message_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const Error& ours) {
    return ours.message();
  } catch (const std::exception& other) {
    return other.what();
  } catch (...) {
    return "unknown exception";
  }
}

/// A batch of one row of pixels: uint8, NHWC, so that the row is an image.
Batch one_row(const Pipeline& pipeline) {
  const Size size = pipeline.output_size();
  Batch batch;
  batch.images = Tensor::allocate(DType::uint8, {1, size.height, size.width, pipeline.num_channels()});
  batch.labels = Tensor::allocate(DType::int64, {1});
  batch.valid = Tensor::allocate(DType::uint8, {1});
  batch.ids.resize(1);
  batch.rows.resize(1);
  batch.plans.resize(1);
  return batch;
}

/// True if nothing tells them apart but the epoch: no stage drew anything, or all drew the same.
bool look_the_same(const Variant& a, const Variant& b, const Pipeline& pipeline) {
  constexpr auto shown = Variant::Fate::shown;
  return a.fate == shown && b.fate == shown && a.pixels == b.pixels && a.plan.window == b.plan.window &&
         a.reason == b.reason && describe_stages(a.plan, pipeline) == describe_stages(b.plan, pipeline);
}

LoaderOptions as_pixels(LoaderOptions options) {
  options.dtype = DType::uint8;
  options.layout = Layout::nhwc;
  return options;
}

}  // namespace

/// Remembers the sample that was read last, or how that failed: every variant shows the same one.
class Collector::LastRead final : public Source {
 public:
  explicit LastRead(const Source& source) : source_(source) {}

  std::uint64_t size() const override { return source_.size(); }
  std::string name(std::uint64_t id) const override { return source_.name(id); }

  void read(std::uint64_t id, Sample& sample, std::stop_token stop) const override {
    if (id != id_) {
      id_ = id;
      last_.clear();
      error_ = nullptr;
      try {
        source_.read(id, last_, std::move(stop));
      } catch (...) {
        error_ = std::current_exception();
      }
    }
    if (error_) std::rethrow_exception(error_);
    sample.bytes = last_.bytes;
    sample.image = last_.image;
    sample.label = last_.label;
  }

 private:
  const Source& source_;
  mutable std::optional<std::uint64_t> id_;
  mutable Sample last_;
  mutable std::exception_ptr error_;
};

Size fit(Size size, Size box, std::int64_t least) {
  const bool tall = size.height * box.width > size.width * box.height;
  const std::int64_t in = tall ? size.height : size.width;
  const std::int64_t out = tall ? box.height : box.width;
  const auto scaled = [&](std::int64_t side) { return std::max(least, (side * out + in / 2) / in); };
  return {scaled(size.height), scaled(size.width)};
}

void expect_range(const char* operation, const char* option, std::int64_t value, std::int64_t low, std::int64_t high) {
  if (value >= low && value <= high) return;
  throw ConfigError(operation, fmt::format("{}: expected {} ... {}, received {}", option, low, high, value));
}

void check_grid(const char* operation, std::int64_t num_columns, std::int64_t cell) {
  expect_range(operation, "num_columns", num_columns, 1, 100);
  expect_range(operation, "cell", cell, 32, 4096);
}

void check(const PreviewOptions& options, const char* operation) {
  if (!options.ids.empty() && !options.rows.empty()) {
    throw ConfigError(operation, "expected ids or rows, received both; ask for one kind");
  }
  expect_range(operation, "num_samples", options.num_samples, 1, most_samples);
  expect_range(operation, "number of ids", std::ssize(options.ids), 0, most_samples);
  expect_range(operation, "number of rows", std::ssize(options.rows), 0, most_samples);
  expect_range(operation, "num_variants", options.num_variants, 1, most_variants);
  check_grid(operation, options.num_columns, options.cell);
  if (options.first_epoch > ~std::uint64_t{0} - static_cast<std::uint64_t>(most_variants)) {
    throw ConfigError(operation, fmt::format("first_epoch: expected at most 2^64 - {}, received {}", most_variants + 1,
                                             options.first_epoch));
  }
}

std::vector<std::optional<std::uint64_t>> rows_of(const Order& order, std::uint64_t epoch,
                                                  const std::vector<std::uint64_t>& ids) {
  std::unordered_map<std::uint64_t, std::optional<std::uint64_t>> rows;
  for (const std::uint64_t id : ids) rows[id];
  std::size_t num_missing = rows.size();
  for (auto& [id, row] : rows) {
    if (!order.ids_are_unique() || id >= order.num_rows() || order.sample_id(epoch, id) != id) continue;
    row = id;
    --num_missing;
  }
  for (std::uint64_t row = 0; row < order.num_rows() && num_missing > 0; ++row) {
    const auto found = rows.find(order.sample_id(epoch, row));
    if (found == rows.end() || found->second) continue;
    found->second = row;
    --num_missing;
  }
  std::vector<std::optional<std::uint64_t>> found;
  found.reserve(ids.size());
  for (const std::uint64_t id : ids) found.push_back(rows[id]);
  return found;
}

std::vector<Wanted> wanted_samples(const Loader& loader, const PreviewOptions& options, const char* operation) {
  const Order& order = *loader.options().order;  // the loader fills it in
  const std::uint64_t epoch = options.first_epoch;
  std::vector<Wanted> wanted;
  if (!options.ids.empty()) {
    for (const std::uint64_t id : options.ids) {
      if (id < loader.source().size()) continue;
      throw ConfigError(operation, fmt::format("expected ids below {}, received {}", loader.source().size(), id));
    }
    const auto rows = rows_of(order, epoch, options.ids);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (!rows[i]) {
        throw ConfigError(operation, fmt::format("sample {} does not come in epoch {}: it is excluded, or the order "
                                                 "leaves it out",
                                                 options.ids[i], epoch));
      }
      wanted.push_back({options.ids[i], *rows[i]});
    }
    return wanted;
  }
  std::vector<std::uint64_t> rows = options.rows;
  if (rows.empty()) {
    const std::uint64_t count = std::min(static_cast<std::uint64_t>(options.num_samples), order.num_rows());
    for (std::uint64_t row = 0; row < count; ++row) rows.push_back(row);
  }
  for (const std::uint64_t row : rows) {
    if (row >= order.num_rows()) {
      throw ConfigError(operation, fmt::format("expected rows below {}, received {}", order.num_rows(), row));
    }
    wanted.push_back({order.sample_id(epoch, row), row});
  }
  return wanted;
}

Collector::Collector(const Loader& loader, const PreviewOptions& options, std::vector<Wanted> wanted, Size source_box)
    : loader_(loader),
      options_(options),
      wanted_(std::move(wanted)),
      source_box_(source_box),
      source_(std::make_shared<LastRead>(loader.source())),
      recorder_(nullptr),
      row_loader_(source_, loader.pipeline(), as_pixels(loader.options()), recorder_) {
  std::vector<std::uint64_t> ids;
  std::vector<std::optional<std::uint64_t>> first;
  for (const Wanted& sample : wanted_) {
    ids.push_back(sample.id);
    first.emplace_back(sample.row);
  }
  rows_.push_back(std::move(first));
  for (std::int64_t i = 1; i < options.num_variants; ++i) {
    rows_.push_back(rows_of(*loader.options().order, options.first_epoch + static_cast<std::uint64_t>(i), ids));
  }
}

Collector::~Collector() = default;

Line Collector::line(std::size_t index) {
  Line line;
  line.id = wanted_[index].id;
  line.name = loader_.source().name(line.id);
  show_source(line);
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    line.variants.push_back(variant(line, options_.first_epoch + i, rows_[i][index]));
  }
  Variant& first = line.variants.front();
  if (std::ranges::all_of(line.variants,
                          [&](const Variant& other) { return look_the_same(first, other, loader_.pipeline()); })) {
    first.num_epochs = line.variants.size();
    line.variants.resize(1);
  }
  return line;
}

void Collector::show_source(Line& line) {
  try {
    Sample sample;
    source_->read(line.id, sample, {});
    line.label = describe_label(sample.label, loader_.source().classes());

    Image pixels;
    if (sample.image) {
      line.source_size = sample.image->size();
      line.detail = "pixels";
      convert_color(sample.image->view(), Color::rgb, pixels);
    } else {
      const std::size_t num_bytes = sample.bytes.size();
      line.detail = num_bytes < 1000 ? fmt::format("{} bytes", num_bytes)
                                     : fmt::format("{:.1f} kB", static_cast<double>(num_bytes) / 1e3);
      // As the pipeline sees it: turned, and grey where it works on grey.
      DecodeOptions decode = loader_.pipeline().decode_options();
      decode.mode = DecodeMode::exact;
      Decoder decoder(decode, loader_.options().limits, loader_.options().integrity);
      const ImageInfo info = decoder.probe(sample.bytes);
      line.source_size = info.size;
      line.detail = fmt::format("{}  {}", name(info.format), line.detail);
      Image decoded;
      decoder.decode(sample.bytes, info, Rect::whole(info.size), decoded);
      convert_color(decoded.view(), Color::rgb, pixels);
    }
    const Size box = fit(pixels.size(), source_box_);
    const bool fits = pixels.height() <= source_box_.height && pixels.width() <= source_box_.width;
    line.source = fits ? std::move(pixels) : scale_picture(pixels.view(), box);
  } catch (...) {
    line.error = message_of(std::current_exception());
  }
}

Variant Collector::variant(const Line& line, std::uint64_t epoch, std::optional<std::uint64_t> row) {
  using Fate = Variant::Fate;
  Variant variant;
  variant.epoch = epoch;
  variant.id = line.id;
  variant.name = line.name;
  if (!row) {
    variant.fate = Fate::absent;
    variant.reason = fmt::format("epoch {} does not show this sample", epoch);
    return variant;
  }
  variant.row = *row;
  Batch batch = one_row(loader_.pipeline());
  RowResult result = row_loader_.load(epoch, row, RowSlot(batch, 0, Layout::nhwc), {});
  for (const Incident& incident : result.incidents) {
    variant.reason += (variant.reason.empty() ? "" : "; ") + incident.message;
  }
  if (result.state == RowState::raised || result.state == RowState::masked) {
    variant.fate = result.state == RowState::raised ? Fate::raised : Fate::masked;
    if (result.error) variant.reason = message_of(result.error);
    return variant;
  }
  variant.plan = std::move(batch.plans[0]);
  variant.id = batch.ids[0];
  if (result.state == RowState::substituted) {
    variant.fate = Fate::substituted;
    variant.name = loader_.source().name(variant.id);
  }
  const Size size = loader_.pipeline().output_size();
  const int channels = loader_.pipeline().num_channels();
  variant.pixels =
      Image({reinterpret_cast<const std::uint8_t*>(batch.images.data()), size, channels, size.width * channels});
  return variant;
}

}  // namespace muster

// Pages and sheets of loaders: what they show is what a training run saw.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "jpeg.hpp"
#include "loader_support.hpp"
#include "muster/muster.hpp"
#include "preview/canvas.hpp"
#include "preview/collect.hpp"
#include "preview/markup.hpp"
#include "preview/tiles.hpp"
#include "preview/words.hpp"
#include "preview_support.hpp"
#include "support.hpp"

namespace {

using namespace muster;
using muster::test::break_sample;
using muster::test::check_self_contained;
using muster::test::count_of;
using muster::test::noise_image;
using muster::test::pixels_of;
using muster::test::variants_of;

std::vector<Sample> noise_samples(std::size_t count) {
  std::vector<Sample> samples(count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto k = static_cast<std::int64_t>(i);
    samples[i].image =
        std::make_shared<Image>(noise_image({50 + 3 * k, 90 - 2 * k}, 3, static_cast<std::uint32_t>(i + 1)));
    samples[i].label = k % 2;
  }
  return samples;
}

const Pipeline& crop() {
  static const Pipeline pipeline{RandomResizedCrop{.size = {32, 40}}, RandomHorizontalFlip{},
                                 Normalize{imagenet_mean, imagenet_stddev}};
  return pipeline;
}

bool says(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// A pixel stage with words for what it drew.
struct Brighten {
  struct Drawn {
    double factor;
  };
  static constexpr std::string_view name = "Brighten";
  double low = 1.25;
  double high = 1.25;

  Extent output_extent(const Extent& in) const { return in; }
  Drawn draw(Size, Rng& rng) const { return {rng.uniform(low, high)}; }
  void apply(Image& image, const Drawn& drawn) const {
    for (std::size_t i = 0; i < image.size_bytes(); ++i) {
      image.data()[i] = static_cast<std::uint8_t>(std::min(255.0, image.data()[i] * drawn.factor));
    }
  }
  std::string describe(const Drawn& drawn) const {
    if (drawn.factor == 1) return "";
    if (drawn.factor > 100) throw std::runtime_error("too bright for words");
    return fmt::format("brightness ×{:.2f}", drawn.factor);
  }
};

/// One without.
struct Mute {
  static constexpr std::string_view name = "Mute";
  Extent output_extent(const Extent& in) const { return in; }
  int draw(Size, Rng&) const { return 3; }
  void apply(Image&, int) const {}
};

/// True if the sheet shows the picture anywhere.
bool shows(const Image& sheet, const Image& picture) {
  for (std::int64_t y = 0; y + picture.height() <= sheet.height(); ++y) {
    for (std::int64_t x = 0; x + picture.width() <= sheet.width(); ++x) {
      if (Image(sheet.view().crop({y, x, 1, picture.width()})) !=
          Image(picture.view().crop({0, 0, 1, picture.width()})))
        continue;
      if (Image(sheet.view().crop({y, x, picture.height(), picture.width()})) == picture) return true;
    }
  }
  return false;
}

Image drawn_notice(const Notice& notice, Size size) {
  Canvas canvas(size, style::paper);
  draw_notice(canvas, notice, Rect::whole(size));
  return std::move(canvas).take();
}

Image drawn_caption(std::string_view text, Colour colour) {
  Canvas canvas({style::line_height, text_width(text, style::text_height) + 2}, style::paper);
  draw_caption(canvas, text, 0, 0, colour, 1000);
  return std::move(canvas).take();
}

/// One that nobody can know of before it ran.
struct Speckle {
  static constexpr std::string_view name = "Speckle";
  Extent output_extent(const Extent& in) const { return in; }
  Image operator()(Image image, Rng&) const { return image; }
};

}  // namespace

TEST_CASE("preview: the variants of a page decode to the bytes that the loader delivers") {
  const Loader loader(MemorySource(noise_samples(9)), crop(), {.batch_size = 4, .shuffle = true, .seed = 5});
  const Order& order = *loader.options().order;
  const std::string page = preview_page(loader, {.num_samples = 3, .num_variants = 4, .first_epoch = 2});
  const std::vector<Image> shown = variants_of(page);
  REQUIRE(shown.size() == 12);
  for (std::uint64_t line = 0; line < 3; ++line) {
    const std::uint64_t id = order.sample_id(2, line);
    for (std::uint64_t i = 0; i < 4; ++i) {
      const std::uint64_t row = rows_of(order, 2 + i, {id})[0].value();
      CAPTURE(line);
      CAPTURE(i);
      CHECK(shown[line * 4 + i] == pixels_of(loader, 2 + i, row));
      CHECK(says(page, fmt::format("epoch {}, row {}", 2 + i, row)));
      const Rect window = loader.plan(2 + i, row).window;
      CHECK(says(page, fmt::format("data-k=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/>", i, window.x,
                                   window.y, window.width, window.height)));
    }
  }
}

TEST_CASE("preview: a page asks for nothing that is not in it, and has proof, options and pipeline") {
  const Loader loader(MemorySource(noise_samples(3)), crop(), {.batch_size = 2, .seed = 77});
  const std::string page = preview_page(loader, {.num_samples = 2, .num_variants = 2, .title = "my data"});
  check_self_contained(page);
  CHECK(says(page, "my data"));
  CHECK(says(page, "RandomResizedCrop(size=[32,40])"));
  CHECK(says(page, "&quot;RandomHorizontalFlip&quot;"));
  CHECK(says(page, "<td>77</td>"));
  CHECK(page.starts_with("<!DOCTYPE html>"));
  CHECK(page.ends_with("</html>\n"));
}

TEST_CASE("preview: hostile names stay text, in every place of a page") {
  const std::vector<std::string> names = {"<script>alert(1)</script>.jpg",
                                          "\"><img src=x onerror=alert(1)>",
                                          "' onmouseover='alert(1)",
                                          "</style></script><svg onload=alert(1)>",
                                          "bad \xff\xfe utf \xc3",
                                          std::string("zero\0byte", 9),
                                          "&lt;b&gt;"};
  std::vector<Sample> samples = noise_samples(names.size());
  break_sample(samples[2]);
  const std::vector<std::string> classes = {"<i>cat</i>", "\" onload=\"x"};
  for (const OnError policy : {OnError::raise, OnError::mask, OnError::substitute}) {
    const Loader loader(MemorySource(samples, names, classes), crop(), {.on_error = policy});
    const std::string page =
        preview_page(loader, {.num_samples = 7, .num_variants = 3, .title = "</title><script>alert(2)</script>"});
    CHECK(count_of(page, "<script") == 1);
    CHECK(count_of(page, "</script") == 1);
    CHECK(count_of(page, "<img src=x") == 0);
    CHECK(count_of(page, "<svg onload") == 0);
    CHECK(count_of(page, "\" onload=") == 0);
    CHECK(count_of(page, "' onmouseover") == 0);
    CHECK(count_of(page, "<i>cat") == 0);
    CHECK(says(page, "&lt;script&gt;alert(1)"));
    CHECK(says(page, "&amp;lt;b&amp;gt;"));
    CHECK_NOTHROW(nlohmann::json(page).dump());  // throws for what is no UTF-8
    CHECK(page.find('\0') == std::string::npos);
    check_self_contained(page);
  }
}

TEST_CASE("preview: masked, substituted, raised and absent samples are shown as that, with the reason") {
  std::vector<Sample> samples = noise_samples(6);
  break_sample(samples[1]);
  const auto page = [&](OnError policy, std::vector<std::uint64_t> ids) {
    const Loader loader(MemorySource(samples), crop(), {.seed = 3, .on_error = policy});
    return preview_page(loader, {.num_variants = 1, .first_epoch = 4, .ids = std::move(ids)});
  };
  CHECK(says(page(OnError::mask, {1}), "Masked: zeros"));
  CHECK(count_of(page(OnError::mask, {1}), "not an image") == 2);  // of the source, and in the variant's place
  CHECK(says(page(OnError::raise, {1}), "Raised: the epoch ends"));
  CHECK(!says(page(OnError::mask, {0}), "Masked: zeros"));

  Loader loader(
      MemorySource(samples), crop(),
      {.batch_size = 6, .seed = 3, .on_error = OnError::substitute, .dtype = DType::uint8, .layout = Layout::nhwc});
  EpochRange epoch = loader.epoch(4);
  const Batch batch = epoch.next().value();
  REQUIRE(batch.incidents.size() == 1);
  const std::string shown = page(OnError::substitute, {1});
  CHECK(says(shown, fmt::format("substitute</span> id {}", batch.ids[1])));
  CHECK(says(shown, "not an image"));
  CHECK(count_of(shown, "<rect") == 0);  // its window lies on another image
  const std::vector<Image> pictures = variants_of(shown);
  REQUIRE(pictures.size() == 1);
  CHECK(pictures[0] == Image({reinterpret_cast<const std::uint8_t*>(batch.images.row(1).data()), {32, 40}, 3, 120}));

  // One whose source can be shown.
  struct Picky {
    Extent output_extent(const Extent& in) const { return in; }
    Image operator()(Image image, Rng&) const {
      if (image.height() == 53) throw std::runtime_error("not this one");
      return image;
    }
  };
  const Loader picky(MemorySource(noise_samples(6)), {Picky{}, RandomResizedCrop{.size = {32, 40}}},
                     {.on_error = OnError::substitute});
  const std::string replaced = preview_page(picky, {.num_variants = 1, .ids = {1}});
  CHECK(count_of(replaced, "Cannot be shown") == 0);
  CHECK(count_of(replaced, "substitute</span> id ") == 1);
  CHECK(count_of(replaced, "<rect") == 0);

  struct EvenEpochs : Order {
    std::uint64_t num_rows() const override { return 2; }
    std::uint64_t sample_id(std::uint64_t epoch_, std::uint64_t row) const override { return row + epoch_ % 2 * 3; }
  };
  const Loader sometimes(MemorySource(noise_samples(6)), crop(), {.order = std::make_shared<EvenEpochs>()});
  CHECK(count_of(preview_page(sometimes, {.num_variants = 2, .ids = {1}}), "Not in this epoch") == 1);
}

TEST_CASE("preview: a sheet says in the picture's place, or below it, what became of a sample") {
  constexpr std::int64_t cell = 200;
  std::vector<Sample> samples = noise_samples(3);
  break_sample(samples[1]);
  const auto sheet = [&](OnError policy) {
    const Loader loader(MemorySource(samples), crop(), {.seed = 3, .on_error = policy});
    return contact_sheet(loader, {.num_variants = 1, .cell = cell, .ids = {1}});
  };
  const Loader raising(MemorySource(samples), crop());
  const std::string reason = test::message_of<DecodeError>([&] { raising.sample(0, 1); });
  const std::string bare = reason.substr(reason.find("] ") + 2, reason.find(" (") - reason.find("] ") - 2);
  const Size tile = {7 * style::line_height, cell};
  CHECK(shows(sheet(OnError::mask), drawn_notice({"MASKED: zeros", "decode: " + bare}, tile)));
  CHECK(shows(sheet(OnError::raise), drawn_notice({"RAISED: the epoch ends", bare}, tile)));
  CHECK_FALSE(shows(sheet(OnError::mask), drawn_notice({"RAISED: the epoch ends", bare}, tile)));

  struct FirstEpoch : Order {
    std::uint64_t num_rows() const override { return 2; }
    std::uint64_t sample_id(std::uint64_t epoch, std::uint64_t row) const override { return epoch == 0 ? row : 2; }
  };
  const Loader once(MemorySource(noise_samples(3)), crop(), {.order = std::make_shared<FirstEpoch>()});
  const Image absent = contact_sheet(once, {.num_variants = 2, .cell = cell, .ids = {1}});
  CHECK(shows(absent, drawn_notice({"NOT IN THIS EPOCH", "epoch 1 does not show this sample", false}, tile)));

  Loader other(MemorySource(samples), crop(), {.batch_size = 3, .seed = 3, .on_error = OnError::substitute});
  EpochRange epoch = other.epoch(0);
  const std::uint64_t id = epoch.next().value().ids[1];
  CHECK(id != 1);
  CHECK(shows(sheet(OnError::substitute), drawn_caption(fmt::format("SUBSTITUTE: id {}", id), style::substitute_ink)));
  CHECK(shows(sheet(OnError::substitute), drawn_caption("because", style::substitute_ink)));

  std::vector<Sample> cut(1);
  cut[0].bytes = test::write_jpeg(noise_image({40, 40}, 3, 9), {});
  cut[0].bytes.resize(cut[0].bytes.size() - 2);  // no end-of-image marker
  const Loader lenient(MemorySource(cut), crop(), {.integrity = Integrity::lenient});
  CHECK(shows(contact_sheet(lenient, {.num_variants = 1, .cell = cell, .ids = {0}}),
              drawn_caption("warned:", style::substitute_ink)));
}

TEST_CASE("preview: whatever a source of the user's own throws is told as it says it") {
  struct Failing : Source {
    explicit Failing(bool with_words) : with_words_(with_words) {}
    std::uint64_t size() const override { return 1; }
    void read(std::uint64_t, Sample&, std::stop_token) const override {
      ++num_reads;
      if (with_words_) throw std::runtime_error("the tape is torn");
      throw 7;
    }
    bool with_words_;
    mutable std::atomic<int> num_reads = 0;
  };
  for (const bool with_words : {true, false}) {
    const auto source = std::make_shared<Failing>(with_words);
    const Loader loader(std::shared_ptr<const Source>(source), crop(), {.on_error = OnError::mask});
    const std::string page = preview_page(loader, {.num_variants = 3});
    // For the source, and for its variants.
    CHECK(count_of(page, with_words ? "the tape is torn" : "unknown exception") == 4);
    CHECK(source->num_reads == 1);
  }
}

TEST_CASE("preview: a page of one rank's loader names its shard") {
  const Loader whole(MemorySource(noise_samples(4)), crop());
  CHECK(count_of(preview_page(whole, {.num_samples = 1, .num_variants = 1}), ">Shard<") == 0);
  const Loader loader(MemorySource(noise_samples(4)), crop(), {.shard = {.index = 1, .count = 2}});
  CHECK(says(preview_page(loader, {.num_samples = 1, .num_variants = 1}), ">Shard</th><td>1 of 2</td>"));
}

TEST_CASE("preview: ids and rows name the same samples, and what the epoch does not have is refused") {
  const Loader loader(MemorySource(noise_samples(20)), crop(), {.shuffle = true, .seed = 9, .exclude = {4}});
  const Order& order = *loader.options().order;
  const std::vector<std::uint64_t> rows = {7, 0, 18};
  std::vector<std::uint64_t> ids;
  for (const std::uint64_t row : rows) ids.push_back(order.sample_id(6, row));
  PreviewOptions by_id{.num_variants = 2, .first_epoch = 6, .cell = 40, .ids = ids};
  PreviewOptions by_row{.num_variants = 2, .first_epoch = 6, .cell = 40, .rows = rows};
  CHECK(contact_sheet(loader, by_id) == contact_sheet(loader, by_row));
  CHECK(preview_page(loader, by_id) == preview_page(loader, by_row));
  const std::pair<PreviewOptions, std::string> refused[] = {
      {{.ids = {20}}, "expected ids below 20, received 20"},
      {{.ids = {4}}, "sample 4 does not come in epoch 0"},  // excluded
      {{.rows = {19}}, "expected rows below 19, received 19"},
      {{.ids = {1}, .rows = {1}}, "expected ids or rows, received both"},
      {{.num_samples = 0}, "num_samples: expected 1"},
      {{.num_variants = 0}, "num_variants: expected 1"},
      {{.num_columns = 0}, "num_columns: expected 1"},
      {{.cell = 31}, "cell: expected 32"},
      {{.first_epoch = ~std::uint64_t{0}}, "first_epoch: expected at most"}};
  for (const auto& [options, message] : refused) {
    CAPTURE(message);
    CHECK(says(test::message_of<ConfigError>([&] { contact_sheet(loader, options); }), "[contact_sheet] " + message));
    CHECK(says(test::message_of<ConfigError>([&] { preview_page(loader, options); }), "[preview_page] " + message));
  }
  const Loader large(MemorySource(noise_samples(2)), Pipeline{Resize{Size{4000, 4000}}});
  CHECK(says(test::message_of<ConfigError>([&] { preview_page(large, {.num_samples = 1, .num_variants = 1000}); }),
             "ask for fewer samples or variants"));
}

TEST_CASE("preview: the row of an id is its first in the order, whatever the order") {
  const ShuffledOrder shuffled(500, 3);
  const SequentialOrder listed(500);
  const BlockShuffledOrder blocks(500, 7, 3);
  for (const Order* order :
       {static_cast<const Order*>(&shuffled), static_cast<const Order*>(&listed), static_cast<const Order*>(&blocks)}) {
    const auto rows = rows_of(*order, 2, {499, 0, 17, 17, 600});
    for (const std::size_t i : {0u, 1u, 2u, 3u}) {
      REQUIRE(rows[i].has_value());
      CHECK(order->sample_id(2, *rows[i]) == std::vector<std::uint64_t>{499, 0, 17, 17}[i]);
    }
    CHECK(!rows[4].has_value());
  }
  struct Repeating : Order {
    std::uint64_t num_rows() const override { return 4; }
    std::uint64_t sample_id(std::uint64_t, std::uint64_t row) const override {
      return std::vector<std::uint64_t>{1, 1, 0, 2}[row];
    }
  };
  using Rows = std::vector<std::optional<std::uint64_t>>;
  CHECK(rows_of(Repeating{}, 0, {0, 1, 2, 3}) == Rows{2, 0, 3, std::nullopt});
}

TEST_CASE("preview: every window is drawn where the plan says, and every variant pixel by pixel") {
  constexpr std::int64_t cell = 128;
  const Pipeline pipeline{RandomResizedCrop{.size = {cell, cell}, .scale = {0.2, 0.8}}};
  std::vector<Sample> samples(1);
  Image plain({cell, cell}, 3);
  for (std::size_t i = 0; i < plain.size_bytes(); ++i) plain.data()[i] = static_cast<std::uint8_t>(1 + i % 3);
  samples[0].image = std::make_shared<Image>(plain);
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    const Loader loader(MemorySource(samples), pipeline, {.seed = seed});
    const Image sheet = contact_sheet(loader, {.num_samples = 1, .num_variants = 1, .cell = cell});
    const auto is = [&](std::int64_t y, std::int64_t x, Colour colour) {
      const std::uint8_t* pixel = sheet.row(y) + 3 * x;
      return pixel[0] == colour.red && pixel[1] == colour.green && pixel[2] == colour.blue;
    };
    const std::int64_t left = style::margin, variant_left = left + cell * 3 / 2 + style::gap;
    std::int64_t top = 0;
    while (!is(top, variant_left, {1, 2, 3})) ++top;
    const Rect window = loader.plan(0, 0).window;
    const std::int64_t mid_y = top + window.y + window.height / 2, mid_x = left + window.x + window.width / 2;
    const std::int64_t bottom = top + window.y + window.height - 1, right = left + window.x + window.width - 1;
    const Colour colour = style::colour_of(0);
    CHECK(is(mid_y, left + window.x, colour));
    CHECK(is(mid_y, right, colour));
    CHECK(is(top + window.y, mid_x, colour));
    CHECK(is(bottom, mid_x, colour));
    CHECK(is(mid_y, mid_x, {1, 2, 3}));
    if (window.x >= 2) CHECK(is(mid_y, left + window.x - 2, {1, 2, 3}));
    if (bottom + 2 < top + cell) CHECK(is(bottom + 2, mid_x, {1, 2, 3}));
    const Image expected = pixels_of(loader, 0, 0);
    const Image shown(sheet.view().crop({top, variant_left, cell, cell}));
    CHECK(shown == expected);
  }
}

TEST_CASE("preview: tags of windows lie inside the picture and cover none of the others while there is room") {
  const Rect around{100, 20, 60, 300};
  for (std::int64_t seed = 1; seed < 50; ++seed) {
    TagPlaces places(around);
    std::vector<Rect> tags;
    for (std::int64_t i = 0; i < 8; ++i) {
      const Rect window{100 + seed * i % 30, 20 + seed * 7 * i % 200, 1 + seed % 30, 1 + seed * i % 90};
      tags.push_back(places.next(window, {14, 14}));
      CHECK(intersect(tags.back(), around) == tags.back());
      for (std::size_t k = 0; k + 1 < tags.size(); ++k) CHECK(intersect(tags[k], tags.back()).empty());
    }
  }
}

TEST_CASE("preview: hundreds of variants, and images a pixel high, are drawn") {
  std::vector<Sample> samples(2);
  samples[0].image = std::make_shared<Image>(noise_image({1, 2000}, 3, 3));
  samples[1].image = std::make_shared<Image>(noise_image({400, 20}, 1, 4));
  const Loader loader(MemorySource(std::move(samples)), crop());
  const PreviewOptions options{.num_samples = 2, .num_variants = 600, .cell = 32, .num_columns = 20};
  const Image sheet = contact_sheet(loader, options);
  CHECK(sheet.width() < 2000);
  const std::string page = preview_page(loader, options);
  CHECK(variants_of(page).size() == 1200);
  CHECK(count_of(page, "Cannot be shown") == 0);
}

TEST_CASE("preview: a sheet that would be too large is refused before a sample is read, with what to lower") {
  struct Unread : Source {
    std::uint64_t size() const override { return 1000; }
    void read(std::uint64_t, Sample&, std::stop_token) const override {
      was_read = true;
      throw SourceError("read", "it was not to be read");
    }
    mutable std::atomic<bool> was_read = false;
  };
  const auto refusal = [](const Pipeline& pipeline, const PreviewOptions& options) {
    const auto source = std::make_shared<Unread>();
    const Loader loader(source, pipeline);
    const std::string message = test::message_of<ConfigError>([&] { contact_sheet(loader, options); });
    CHECK(!source->was_read);
    return message;
  };
  // Pictures alone make 640'000 lines of pixels; captions and gaps make it twice as many.
  PreviewOptions tall{.num_samples = 20, .num_variants = 1000, .cell = 32, .num_columns = 1};
  CHECK(test::mentions(refusal(crop(), tall),
                       {"20 samples of 1000 variants", "sides of at most 1000000", "more columns", "fewer samples"}));
  tall.num_samples = 5;
  CHECK_NOTHROW(contact_sheet(Loader(MemorySource(noise_samples(5)), crop()), tall));
  // No side is too long.
  const PreviewOptions many{.num_samples = 250, .num_variants = 1000, .cell = 224, .num_columns = 100};
  CHECK(test::mentions(refusal(crop(), many), {"250 samples of 1000 variants", "256 Mpixel"}));
  // The pixels of a sample's variants, however small they are drawn.
  CHECK(test::mentions(refusal({Resize{Size{4000, 4000}}}, {.num_samples = 1, .num_variants = 20, .cell = 32}),
                       {"20 variants of 4000x4000", "305 Mpixel", "fewer variants"}));
}

TEST_CASE("preview: a pipeline that draws nothing shows one variant and says so, for each sample by itself") {
  std::vector<Sample> samples = noise_samples(2);
  Image plain({50, 50}, 3);
  for (std::size_t i = 0; i < plain.size_bytes(); ++i) plain.data()[i] = 7;
  samples[1].image = std::make_shared<Image>(plain);
  const PreviewOptions options{.num_samples = 2, .num_variants = 6, .cell = 160};
  const Loader still(MemorySource(samples), {LetterBox{.size = {64, 64}}, ToFloat{}});
  const std::string page = preview_page(still, options);
  CHECK(variants_of(page).size() == 2);
  CHECK(count_of(page, "the same picture in all 6 epochs") == 2);
  CHECK(variants_of(page)[0] == pixels_of(still, 0, 0));
  PreviewOptions one = options;
  one.num_variants = 1;
  CHECK(count_of(preview_page(still, one), "the same picture") == 0);
  CHECK(contact_sheet(still, options).width() < 2 * style::margin + 2 * 160 + 2 * (160 + style::gap));

  // Half of its flips change nothing to see, but the plan tells them apart.
  const Loader flipped(MemorySource(samples), {Resize{Size{64, 64}}, RandomHorizontalFlip{}}, {.seed = 1});
  CHECK(variants_of(preview_page(flipped, options)).size() == 12);
}

TEST_CASE("preview: pictures on a page have their own size or a whole multiple of it, and the page says which") {
  const auto page = [](Size size) {
    return preview_page(Loader(MemorySource(noise_samples(1)), {Resize{size}}), {.num_samples = 1, .num_variants = 1});
  };
  CHECK(says(page({224, 224}), "style=\"--w:224px\""));
  CHECK(says(page({224, 224}), "own size, pixel by pixel"));
  CHECK(says(page({30, 40}), "style=\"--w:200px\""));
  CHECK(says(page({30, 40}), "Each of their pixels is shown as 5×5"));
  CHECK(says(page({30, 40}), "class=\"variant k0 times\""));
  CHECK(says(page({150, 100}), "style=\"--w:100px\""));
  CHECK(says(page({640, 480}), "style=\"--w:480px\""));
}

TEST_CASE("preview: a page names the order and the value stages that there are, and no others") {
  const auto page = [](const Pipeline& pipeline, LoaderOptions options) {
    return preview_page(Loader(MemorySource(noise_samples(4)), pipeline, std::move(options)),
                        {.num_samples = 1, .num_variants = 1});
  };
  const Pipeline bare{Resize{Size{32, 32}}};
  CHECK(says(page(crop(), {}), ", before Normalize."));
  CHECK(says(page({Resize{Size{32, 32}}, ToFloat{}}, {}), ", before ToFloat."));
  CHECK(!says(page(bare, {}), "before"));
  CHECK(says(page(bare, {}), "<td>as listed</td>"));
  CHECK(says(page(bare, {.exclude = {1}}), "<td>as listed</td>"));
  CHECK(says(page(bare, {.shuffle = true}), "<td>shuffled, anew for every epoch</td>"));
  CHECK(says(page(bare, {.order = std::make_shared<ShuffledOrder>(4, 1)}), "<td>as the program gave it</td>"));
}

TEST_CASE("preview: plans in words name window, flips, enlargement and padding") {
  const SampleKey key{.seed = 1, .epoch = 0, .sample_id = 0};
  const Pipeline flipped{Resize{Size{20, 30}}, RandomHorizontalFlip{1.0}};
  CHECK(describe_changes(flipped.plan({10, 30}, key)) == "flipped, enlarged 2.00x");
  CHECK(describe_window(flipped.plan({10, 30}, key)) == "y 0  x 0  10x30");
  const Pipeline turned{CenterCrop{{8, 8}}, RandomHorizontalFlip{1.0}, RandomVerticalFlip{1.0}};
  CHECK(describe_changes(turned.plan({10, 10}, key)) == "turned by 180");
  CHECK(describe_window(turned.plan({10, 10}, key)) == "y 1  x 1  8x8");
  CHECK(describe_changes(turned.plan({4, 10}, key)) == "turned by 180, padded");
  for (const Padding& side : {Padding{2, 0, 0, 0}, {0, 2, 0, 0}, {0, 0, 2, 0}, {0, 0, 0, 2}}) {
    CHECK(describe_changes(Pipeline{Resize{Size{8, 8}}, Pad{side}}.plan({8, 8}, key)) == "padded");
  }
  CHECK(describe_stages(flipped.plan({10, 30}, key), flipped)[0] ==
        "Resize  10x30 to 20x30: resample to 20x30 (bilinear)");
}

TEST_CASE("preview: what pixel stages drew is told in their words, or by their name") {
  const SampleKey key{.seed = 1, .epoch = 0, .sample_id = 0};
  const Resize resize{Size{20, 30}};
  const Pipeline pipeline{resize, Brighten{}, Mute{}, Speckle{}, Brighten{1, 1}, Normalize{0.5, 0.5}};
  const Plan plan = pipeline.plan({10, 30}, key);
  CHECK(describe_drawn(plan, pipeline) == "brightness ×1.25, Mute, Speckle");  // the last Brighten drew nothing
  const std::vector<std::string> stages = describe_stages(plan, pipeline);
  REQUIRE(stages.size() == 5);
  CHECK(stages[1] == "Brighten  20x30 to 20x30: brightness ×1.25");
  CHECK(stages[2] == "Mute  20x30 to 20x30: pixels, by parameters drawn before");
  CHECK(stages[3] == "Speckle  20x30 to 20x30: opaque, draws as it goes");
  CHECK(stages[4] == "Brighten  20x30 to 20x30: nothing");
  CHECK(describe_drawn(plan, Pipeline{resize, Mute{}, Brighten{}}) == "");  // its parameters are another stage's
  CHECK(describe_drawn(Pipeline{resize}.plan({10, 30}, key), Pipeline{resize}) == "");
  const Pipeline failing{resize, Brighten{200, 200}};
  CHECK(describe_drawn(failing.plan({10, 30}, key), failing) == "Brighten (describe failed: too bright for words)");
}

TEST_CASE("preview: every variant has its own factors on the page, as the epoch's plan drew them") {
  const Pipeline pipeline{Resize{Size{20, 30}}, Brighten{0.5, 1.5}, Normalize{imagenet_mean, imagenet_stddev}};
  const Loader loader(MemorySource(noise_samples(2)), pipeline, {.seed = 8});
  const std::string page = preview_page(loader, {.num_samples = 2, .num_variants = 3, .first_epoch = 4});
  std::set<std::string> factors;
  for (std::uint64_t id = 0; id < 2; ++id) {
    for (std::uint64_t epoch = 4; epoch < 7; ++epoch) {
      const Plan plan = pipeline.plan({50 + 3 * std::int64_t(id), 90 - 2 * std::int64_t(id)}, {8, epoch, id});
      const std::string words = describe_drawn(plan, pipeline);
      CAPTURE(words);
      CHECK(says(page, words + "</bdi></span>"));                               // below the picture
      CHECK(says(page, "Brighten  20x30 to 20x30: " + words + "</bdi></li>"));  // among the numbers
      factors.insert(words);
    }
  }
  CHECK(factors.size() > 3);
}

TEST_CASE("preview: words of a stage stay text, and a sheet makes room for long ones") {
  struct Chatty : Mute {
    std::string words;
    std::string describe(int) const { return words; }
  };
  const auto with = [](const std::string& words) {
    Chatty stage;
    stage.words = words;
    return Loader(MemorySource(noise_samples(1)), Pipeline{Resize{Size{32, 32}}, stage});
  };
  const PreviewOptions options{.num_samples = 1, .num_variants = 1, .cell = 160};
  const std::string page = preview_page(with("<script>1</script>\xff"), options);
  CHECK(says(page, "&lt;script&gt;1&lt;/script&gt;\xef\xbf\xbd"));
  CHECK(!says(page, "<script>1"));
  const std::int64_t quiet = contact_sheet(with(""), options).height();
  CHECK(contact_sheet(with("hue −0.03"), options).height() >= quiet);
  CHECK(contact_sheet(with("brightness ×1.12, contrast ×0.93, saturation ×1.40, hue −0.03"), options).height() > quiet);
  const Loader longest = with(std::string(100'000, 'x'));
  CHECK(contact_sheet(longest, options).height() < quiet + 100);
  CHECK(contact_sheet(longest.sample(0, 0), {.pipeline = longest.pipeline()}).height() <
        contact_sheet(with("").sample(0, 0), {.pipeline = longest.pipeline()}).height() + 100);
}

TEST_CASE("preview: a window that is too long for its line goes on in the next, and loses nothing") {
  const auto height = [](Size image) {
    std::vector<Sample> samples(1);
    samples[0].image = std::make_shared<Image>(noise_image(image, 3, 1));
    const Loader loader(MemorySource(std::move(samples)),
                        Pipeline{CenterCrop{{1000, 1000}}, RandomHorizontalFlip{1.0}});
    return contact_sheet(loader, {.num_samples = 1, .num_variants = 1, .cell = 160}).height();
  };
  // "y 0  x 0  1000x1000" has room; "y 1000  x 1000  1000x1000" has not.
  CHECK(height({3000, 3000}) == height({1000, 1000}) + 16);
}

TEST_CASE("preview: signs that numbers come with are drawn in ASCII's words") {
  CHECK(fit_text("brightness ×1.12, hue −0.03, ±5°", 8, 10'000) == "brightness x1.12, hue -0.03, +-5 deg");
  CHECK(fit_text("Grüße", 8, 10'000) == "Gr??e");
}

TEST_CASE("markup: base64 and indented JSON say what they were made of") {
  for (std::size_t length = 0; length < 20; ++length) {
    std::vector<std::uint8_t> bytes;
    for (std::size_t i = 0; i < length; ++i) bytes.push_back(static_cast<std::uint8_t>(i * 37 + 200));
    CHECK(test::from_base64(markup::base64(bytes)) == bytes);
  }
  CHECK(markup::base64(std::vector<std::uint8_t>{'M', 'a'}) == "TWE=");
  const std::string json = R"({"a":[1,{"b":"x,\"}y"}],"c":{}})";
  CHECK(nlohmann::json::parse(markup::indent_json(json)) == nlohmann::json::parse(json));
  CHECK(markup::escape("a\xe2\x82\xac\xf0\x9f\x98\x80") == "a\xe2\x82\xac\xf0\x9f\x98\x80");
  CHECK(markup::escape("\xc0\xaf\xed\xa0\x80") ==
        "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // overlong, a surrogate
}

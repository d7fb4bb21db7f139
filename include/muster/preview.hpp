// Previews: pictures of what augmentation really does, and of what a trainer really gets.
//
//   Loader ──► contact_sheet()  one line per sample: the source with the drawn windows on it, beside its variants
//          ──► preview_page()   the same as one HTML page, larger, with every number
//   Batch  ──► contact_sheet()  the rows of a batch, turned back from floats to pixels
//
// What is drawn comes from the plans, and the pixels from the code that fills batches: a preview replays what a
// training run saw, error policy included.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "muster/batch.hpp"
#include "muster/loader.hpp"
#include "muster/pipeline.hpp"

namespace [[gnu::visibility("default")]] muster {

struct PreviewOptions {
  std::int64_t num_samples = 6;   // the first rows of first_epoch's order; not used with `ids` or `rows`
  std::int64_t num_variants = 6;  // epochs first_epoch, first_epoch + 1, … of the same sample
  std::uint64_t first_epoch = 0;
  std::int64_t cell = 224;       // of the sheet: pixels of a variant's longer side
  std::int64_t num_columns = 3;  // of the sheet: variants beside each other; more go below
  /// These samples instead, by id, or those of these rows of first_epoch's order; not both. The row of an id is looked
  /// for in the epoch's order, epoch by epoch: O(rows), unless row k is sample k.
  std::vector<std::uint64_t> ids = {};
  std::vector<std::uint64_t> rows = {};
  std::string title = {};  // of the page: what is shown, for example the data set's path
};

/// A line per sample: the source with every variant's window on it, then the variants as the loader delivers them
/// before value stages, scaled to a cell (as large as a cell, they are pixel by pixel), with window, epoch, row, flips
/// and enlargement; one variant where all of a sample are the same picture. What the loader's error policy masks,
/// substitutes or raises is shown as that, with the reason. RGB; at most 2^28 pixels, sides of at most 1'000'000, and
/// 2^28 pixels in a sample's variants. Throws ConfigError for more, before much is read where the numbers asked for say
/// so; for options out of range, and for ids and rows that the epoch does not have.
Image contact_sheet(const Loader& loader, const PreviewOptions& options = {});

/// The same as one HTML page that needs nothing else: pictures are PNG in data URIs, the variants byte for byte what
/// the loader delivers, at their own size or a whole multiple of it. With the loader's options, the shape proof and the
/// pipeline's JSON. UTF-8. Throws as above: all variants together have at most 2^28 pixels.
std::string preview_page(const Loader& loader, const PreviewOptions& options = {});

struct BatchSheetOptions {
  Layout layout = Layout::nchw;             // of the batch: LoaderOptions::layout
  std::optional<Pipeline> pipeline = {};    // that made the batch: its value stages are undone
  std::optional<Normalize> normalize = {};  // without a pipeline: what made the floats; {0, 1} for v / 255
  std::vector<std::string> classes = {};    // names of the labels: Source::classes()
  std::int64_t max_rows = 64;               // further rows are left out
  std::int64_t num_columns = 8;
  std::int64_t cell = 160;  // pixels of a picture's longer side
};

/// The rows of a batch as the trainer gets them, fillers and masked rows included, with the reason. uint8 is shown as
/// it is; floats become the pixel value that comes closest: exactly the one that it was, unless the trainer changed
/// it. RGB; at most 2^28 pixels, sides of at most 1'000'000. Throws ConfigError for more, for options out of range, and
/// for floats without `pipeline` or `normalize`; ShapeError for a batch that is not of 1 or 3 channels in `layout`.
Image contact_sheet(const Batch& batch, const BatchSheetOptions& options = {});

/// Writes an image as PNG (1 or 3 channels). Throws SourceError naming the path.
void write_png(const std::filesystem::path& path, const ImageView& image);

}  // namespace muster

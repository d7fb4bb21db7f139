// Previews: contact sheets that show what augmentation really does.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "muster/loader.hpp"

namespace muster {

struct PreviewOptions {
  std::int64_t num_samples = 8;   // one line of the sheet each
  std::int64_t num_variants = 6;  // epochs first_epoch, first_epoch + 1, … of the same sample
  std::uint64_t first_epoch = 0;
  std::int64_t cell = 192;  // pixels of a picture's longer side on the sheet
};

/// One line per sample (the first rows of the epoch's order): the source with every variant's window drawn on
/// it, then the variants exactly as the trainer gets them, before Normalize. A sample that fails shows its error.
/// RGB. Throws ConfigError for options out of range.
Image contact_sheet(const Loader& loader, const PreviewOptions& options = {});

/// Writes an image as PNG (1 or 3 channels). Throws SourceError naming the path.
void write_png(const std::filesystem::path& path, const ImageView& image);

}  // namespace muster

// Collecting what a preview shows: every sample once, and what became of it in each epoch, by the code that fills
// batches.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "loader/row_loader.hpp"
#include "muster/preview.hpp"

namespace muster {

/// A sample in one epoch.
struct Variant {
  enum class Fate : std::uint8_t {
    shown,        // its own pixels
    substituted,  // those of another sample
    masked,       // zeros
    raised,       // the epoch ended with an error here
    absent,       // the epoch's order does not have the sample
  };
  Fate fate = Fate::shown;
  std::uint64_t epoch = 0;
  std::uint64_t num_epochs = 1;  // this one and those after it, of which this is the picture
  std::uint64_t row = 0;         // of the epoch's order; not if absent
  Image pixels;                  // as delivered, before value stages; empty unless shown or substituted
  Plan plan;                     // of these pixels
  std::uint64_t id = 0;          // whose pixels these are
  std::string name;
  std::string reason;  // why they are not its own; or what the codec warned of
};

/// A sample, and its variants.
struct Line {
  std::uint64_t id = 0;
  std::string name;
  std::string label;              // its class's name, or its number
  std::string detail;             // "JPEG, 113 kB"
  Size source_size;               // empty if its header cannot be read
  Image source;                   // at most as large as asked for; RGB; empty if it cannot be decoded
  std::string error;              // then, why
  std::vector<Variant> variants;  // one, if all of them are the same picture
};

/// What is asked for: a sample, and its row of the first epoch.
struct Wanted {
  std::uint64_t id = 0;
  std::uint64_t row = 0;
};

/// Throws ConfigError for a value that is not from `low` to `high`; `operation` is that of the message.
void expect_range(const char* operation, const char* option, std::int64_t value, std::int64_t low, std::int64_t high);
/// What both sheets take.
void check_grid(const char* operation, std::int64_t num_columns, std::int64_t cell);
/// Throws ConfigError for options out of range.
void check(const PreviewOptions& options, const char* operation);
/// The samples that `options` ask for. Throws ConfigError for ids and rows that the epoch does not have.
std::vector<Wanted> wanted_samples(const Loader& loader, const PreviewOptions& options, const char* operation);

/// For every id the first row that shows it in an epoch, if one does.
std::vector<std::optional<std::uint64_t>> rows_of(const Order& order, std::uint64_t epoch,
                                                  const std::vector<std::uint64_t>& ids);

/// Lines, one after the other; the loader must outlive it.
class Collector {
 public:
  /// Sources are shrunk until they fit into `source_box`.
  Collector(const Loader& loader, const PreviewOptions& options, std::vector<Wanted> wanted, Size source_box);
  ~Collector();

  std::size_t num_lines() const noexcept { return wanted_.size(); }
  Line line(std::size_t index);

 private:
  class LastRead;

  void show_source(Line& line);
  Variant variant(const Line& line, std::uint64_t epoch, std::optional<std::uint64_t> row);

  const Loader& loader_;
  const PreviewOptions& options_;
  const std::vector<Wanted> wanted_;
  const Size source_box_;
  std::vector<std::vector<std::optional<std::uint64_t>>> rows_;  // by epoch and line
  std::shared_ptr<const LastRead> source_;
  Recorder recorder_;  // what it counts is nobody's
  RowLoader row_loader_;
};

/// `size`, scaled so that it just fits into `box`; no side below `least`.
Size fit(Size size, Size box, std::int64_t least = 1);

}  // namespace muster

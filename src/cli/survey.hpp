// What a data set holds, counted: from the headers of its files, and from plans.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "muster/loader.hpp"
#include "spread.hpp"

namespace muster::cli {

/// Images whose shorter side has `from` to `to` pixels, both inside.
struct SideBin {
  std::int64_t from = 0;
  std::int64_t to = 0;
  std::uint64_t num_images = 0;
  std::uint64_t num_draws = 0;     // of their plans
  std::uint64_t num_enlarged = 0;  // draws that enlarge
};

/// Images of width / height from `from` to below `to`.
struct AspectBin {
  double from = 0;
  double to = 0;
  std::uint64_t num_images = 0;
};

/// Draws by how many pixels of the output one of the source becomes, on the axis that is stretched more.
struct EnlargementBin {
  const char* label;
  double to;  // less than this
  bool enlarges;
  std::uint64_t num_draws = 0;
};

/// Where the pipeline will enlarge: a plan for every readable image and for each of some epochs.
struct Enlargement {
  std::uint64_t num_epochs = 0;
  std::uint64_t num_draws = 0;
  std::uint64_t num_enlarged = 0;       // draws
  std::uint64_t num_failed = 0;         // draws that a stage refuses
  std::uint64_t num_images_ever = 0;    // images that are enlarged at least once
  std::uint64_t num_images_always = 0;  // or every time
  double max = 0;                       // the largest factor; 0 without draws
  std::vector<EnlargementBin> bins;

  double share() const noexcept {
    return num_draws == 0 ? 0 : static_cast<double>(num_enlarged) / static_cast<double>(num_draws);
  }
};

struct ClassCount {
  std::int64_t label = 0;
  std::string name;  // empty when labels have no names
  std::uint64_t num_images = 0;
};

struct Failure {
  std::uint64_t id = 0;
  std::string path;
  std::string error;
};

struct Survey {
  std::uint64_t num_images = 0;
  std::uint64_t num_links_skipped = 0;
  std::int64_t num_bytes = 0;
  std::vector<ClassCount> classes;
  std::map<std::string, std::uint64_t> formats;
  std::map<int, std::uint64_t> channels;
  std::map<int, std::uint64_t> orientations;
  Spread height, width, megapixels, aspect, kilobytes;
  std::vector<SideBin> shorter_sides;  // from the first that is not empty to the last
  std::vector<AspectBin> aspects;      // so, too
  Enlargement enlargement;
  std::vector<Failure> failures;

  std::uint64_t num_turned() const;
};

/// Reads every header, on as many threads as the loader has, and plans every image for `num_epochs` epochs from
/// `first_epoch` on: of all shards, without the samples that the loader leaves out. What cannot be read is counted, and
/// no error.
Survey survey(const Loader& loader, std::uint64_t first_epoch, std::uint64_t num_epochs);

}  // namespace muster::cli

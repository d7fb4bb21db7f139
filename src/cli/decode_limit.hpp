// The decode limit: how fast this machine decodes what the loader must decode, if nothing else were to be done.
//
// Files are read, their windows skipped to and cropped by libjpeg-turbo, and the pixels thrown away. Neither the
// library's readers nor its decoders run here, so that a slow one cannot flatter a comparison.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <unordered_map>
#include <vector>

#include "muster/batch.hpp"
#include "muster/loader.hpp"

namespace muster::cli {

class DecodeLimit {
 public:
  /// For batches of `loader`, which must outlive this; the names of its samples are paths relative to `root`.
  DecodeLimit(const Loader& loader, std::filesystem::path root);

  /// Notes what a batch's rows show, for the next run: the first `max_rows` of a run count.
  void add(const Batch& batch);

  /// Decodes the windows that were noted, on as many threads as the loader has, and forgets them. JPEGs per second;
  /// nothing if there was no JPEG.
  std::optional<double> run();

  /// Rows so far: decoded, and left out because their files are no JPEGs or fail.
  std::uint64_t num_decoded() const noexcept { return num_decoded_; }
  std::uint64_t num_left_out() const noexcept { return num_left_out_; }

  static constexpr std::size_t max_rows = 20'000;

 private:
  struct Row {
    std::uint64_t id;
    Rect window;
  };
  struct Header {
    bool is_jpeg = false;
    Size stored;
    int orientation = 1;
  };
  struct Work {
    std::uint64_t id;
    std::filesystem::path path;  // empty: it is no file, and the source is asked
    Rect window;                 // of the image as it is stored
  };

  const Header& header(std::uint64_t id);
  std::vector<Work> plan_work();

  const Loader& loader_;
  std::filesystem::path root_;
  std::unordered_map<std::uint64_t, Header> headers_;
  std::vector<Row> rows_;
  std::uint64_t num_decoded_ = 0;
  std::uint64_t num_left_out_ = 0;
};

}  // namespace muster::cli

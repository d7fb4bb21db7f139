// --records FILE: what every row of the batches shows, one JSON line each.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "muster/loader.hpp"
#include "output.hpp"

namespace muster::cli {

/// A file that is there as a whole or not at all; or, for a run that can be resumed, one that grows. Without a path it
/// does nothing. Errors are std::system_error and name the path.
class RecordsFile {
 public:
  /// `num_bytes`: of a run that can be resumed, how much of an old file is kept.
  RecordsFile(const std::string& path, std::optional<std::uint64_t> num_bytes);

  void add(const Batch& batch, const Loader& loader);
  /// As OutputFile::sync().
  void sync();
  void commit();
  /// Of a file that grows.
  std::uint64_t num_bytes() const noexcept { return growing_ ? growing_->num_bytes() : 0; }

 private:
  std::optional<OutputFile> whole_;
  std::optional<GrowingFile> growing_;
};

}  // namespace muster::cli

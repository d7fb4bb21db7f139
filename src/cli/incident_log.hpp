// --report FILE: every row that failed, one JSON line each, as it happens.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "muster/loader.hpp"
#include "output.hpp"

namespace muster::cli {

/// Grows while a command runs. Without a path it does nothing. Errors are std::system_error and name the path.
class IncidentLog {
 public:
  /// Begins a new file; or goes on after the first `num_bytes` of an old one, and forgets the rest.
  explicit IncidentLog(const std::string& path, std::uint64_t num_bytes = 0);

  void add(const Incident& incident);
  /// All of a delivered batch's.
  void add(const Batch& batch);
  /// What the listing left out: `id` and `row` are null.
  void add_faults(const Source& source);
  /// As OutputFile::sync().
  void sync() {
    if (file_) file_->sync();
  }
  std::uint64_t num_bytes() const noexcept { return file_ ? file_->num_bytes() : 0; }

 private:
  std::optional<GrowingFile> file_;
};

/// Runs `work`, which adds the batches of `loader` to `log`. The rows because of which an error ends it, and that came
/// in no batch, are added before the error goes on its way.
void log_undelivered(IncidentLog& log, const Loader& loader, const std::function<void()>& work);

/// Ids to leave out, from lines of such a file, or plain {"id":17} lines; warnings and what the listing left out do not
/// count. Throws ConfigError: no such file, or an id whose path is not that of the sample in `source`.
std::vector<std::uint64_t> read_exclusions(const std::string& path, const Source& source);

}  // namespace muster::cli

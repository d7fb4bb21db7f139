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
  void add(const Batch& batch);
  /// What the listing left out: `id` and `row` are null.
  void add_faults(const Source& source);
  std::uint64_t num_bytes() const noexcept { return file_ ? file_->num_bytes() : 0; }

 private:
  std::optional<GrowingFile> file_;
};

/// Runs `work`; an error of a sample that it throws is added to `log` before it goes on its way.
void log_raised(IncidentLog& log, std::uint64_t epoch, const std::function<void()>& work);

/// Ids to leave out, from lines of such a file, or plain {"id":17} lines; warnings do not count. Throws ConfigError: an
/// id whose path is not that of the sample in `source`.
std::vector<std::uint64_t> read_exclusions(const std::string& path, const Source& source);

}  // namespace muster::cli

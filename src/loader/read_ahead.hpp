// Prefetch across the boundary of an epoch: when epochs are consumed one after the other, the next is begun while
// the last batches of the current one are worked on.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include "loader/epoch_run.hpp"

namespace muster {

/// At most one run that nobody asked for yet. What goes wrong in it stays in it. Thread-safe; its lock is held while
/// batches are issued, so an allocator must not call back into its loader.
class ReadAhead {
 public:
  explicit ReadAhead(std::shared_ptr<LoaderCore> core) : core_(std::move(core)) {}

  /// Epoch `epoch` has issued its last batch: begins the next, if this looks like a loop (the epoch before was the
  /// last that was consumed to its end), up to `num_in_flight` batches.
  void begin_after(std::uint64_t epoch, std::size_t num_in_flight) noexcept;
  /// Epoch `epoch` was consumed to its end.
  void finished(std::uint64_t epoch) noexcept;
  /// The run that was begun for `epoch`; null, and a run for another epoch cancelled, if there is none.
  std::unique_ptr<EpochRun> take(std::uint64_t epoch);

 private:
  std::shared_ptr<LoaderCore> core_;
  std::mutex mutex_;
  std::optional<std::uint64_t> finished_;
  std::unique_ptr<EpochRun> run_;
};

}  // namespace muster

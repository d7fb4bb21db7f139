// Order: which sample is row k of epoch e, and which rows make up batch b of a shard. Arithmetic only: no
// tables, no state, any position in O(1).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "muster/error.hpp"
#include "muster/random.hpp"

namespace [[gnu::visibility("default")]] muster {

/// The rows of an epoch. Derive for a subset or a weighted choice. Called from any thread.
class Order {
 public:
  Order() = default;
  Order(const Order&) = default;
  Order& operator=(const Order&) = default;
  virtual ~Order() = default;

  /// Number of rows in every epoch.
  virtual std::uint64_t num_rows() const = 0;
  /// The sample id of row `row` < num_rows() of epoch `epoch`. Pure.
  virtual std::uint64_t sample_id(std::uint64_t epoch, std::uint64_t row) const = 0;
  /// True promises that no id comes twice in one epoch, which lets check() of a ledger do without a table of all rows.
  virtual bool ids_are_unique() const { return false; }
};

/// Row k is sample k.
class SequentialOrder : public Order {
 public:
  explicit SequentialOrder(std::uint64_t num_samples) : num_samples_(num_samples) {}
  std::uint64_t num_rows() const override { return num_samples_; }
  std::uint64_t sample_id(std::uint64_t, std::uint64_t row) const override { return row; }
  bool ids_are_unique() const override { return true; }

 private:
  std::uint64_t num_samples_;
};

/// A fresh permutation for every epoch, keyed by (seed, epoch): a Feistel network on the smallest power of two that
/// holds the samples, with cycle walking (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002). O(1)
/// memory and, on average, fewer than two walks per row.
class ShuffledOrder : public Order {
 public:
  ShuffledOrder(std::uint64_t num_samples, std::uint64_t seed) : num_samples_(num_samples), seed_(seed) {}
  std::uint64_t num_rows() const override { return num_samples_; }
  std::uint64_t sample_id(std::uint64_t epoch, std::uint64_t row) const override;
  bool ids_are_unique() const override { return true; }

 private:
  std::uint64_t num_samples_;
  std::uint64_t seed_;
};

/// A shuffle buffer without the buffer: samples are permuted anew for every epoch within consecutive blocks of
/// `block_size` (the last may be shorter), and blocks stay in sequence. Row k lies less than a block from sample k.
class BlockShuffledOrder : public Order {
 public:
  /// Throws ConfigError: block_size is 0.
  BlockShuffledOrder(std::uint64_t num_samples, std::uint64_t block_size, std::uint64_t seed);
  std::uint64_t num_rows() const override { return num_samples_; }
  std::uint64_t sample_id(std::uint64_t epoch, std::uint64_t row) const override;
  bool ids_are_unique() const override { return true; }

 private:
  std::uint64_t num_samples_;
  std::uint64_t block_size_;
  std::uint64_t seed_;
};

/// Leaves samples out: `rest` orders what remains (its answers count the samples that are left in), ids stay positions
/// in the full listing. O(log excluded) per row.
class ExcludingOrder : public Order {
 public:
  /// `excluded` in any order, repetitions allowed; rest->num_rows() + number of different excluded ids is the number
  /// of samples. Throws ConfigError: `rest` is null, or an excluded id is not below that number.
  ExcludingOrder(std::shared_ptr<const Order> rest, std::vector<std::uint64_t> excluded);
  std::uint64_t num_rows() const override { return rest_->num_rows(); }
  std::uint64_t sample_id(std::uint64_t epoch, std::uint64_t row) const override;
  bool ids_are_unique() const override { return rest_->ids_are_unique(); }

 private:
  std::shared_ptr<const Order> rest_;
  std::vector<std::uint64_t> num_left_below_;  // samples left in below each excluded id, by id
};

/// What happens to the last batch when the size does not divide.
enum class LastBatch : std::uint8_t {
  partial,  // fewer rows, and the shape says so
  drop,     // left out
  pad,      // full shape; filler rows are zero, with valid = 0 and the filler label
  wrap,     // filled with rows from the start of the epoch's order
  strict,   // refused: ConfigError when the loader is made
};

std::string_view name(LastBatch policy) noexcept;
/// The inverse of name(); throws ConfigError for an unknown name.
LastBatch last_batch_from_name(std::string_view name);

/// This loader is rank `index` of `count`.
struct Shard {
  std::uint64_t index = 0;
  std::uint64_t count = 1;

  friend bool operator==(const Shard&, const Shard&) = default;
};

/// The batches of one epoch as one rank sees them. The last-batch policy acts on the global batch of
/// batch_size · shard.count rows: every rank sees the same number of batches. Rank r's row k of batch b is row
/// (b · batch_size + k) · shard.count + r of the epoch.
class EpochLayout {
 public:
  /// Throws ConfigError: batch_size < 1, shard.index ≥ shard.count, no rows, `strict` and a remainder,
  /// `drop` that leaves no batch.
  EpochLayout(std::uint64_t num_rows, std::int64_t batch_size, LastBatch policy, Shard shard = {});

  std::uint64_t num_batches() const noexcept { return num_batches_; }
  /// Rows in batch `batch`, fillers included; batch_size for all but a `partial` last one, never 0.
  std::int64_t num_rows(std::uint64_t batch) const noexcept;
  /// The epoch's row behind row `k` of batch `batch`; nothing for a filler.
  std::optional<std::uint64_t> row(std::uint64_t batch, std::int64_t k) const noexcept;
  /// True if that row repeats one from the start of the epoch (`wrap`).
  bool wrapped(std::uint64_t batch, std::int64_t k) const noexcept;
  /// Rows of the epoch that no rank delivers (`drop`).
  std::uint64_t num_dropped() const noexcept;

 private:
  std::uint64_t global_row(std::uint64_t batch, std::int64_t k) const noexcept;

  std::uint64_t num_rows_;
  std::int64_t batch_size_;
  LastBatch policy_;
  Shard shard_;
  std::uint64_t num_batches_;
};

}  // namespace muster

#include "muster/order.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

#include "names.hpp"

namespace muster {
namespace {

constexpr std::pair<LastBatch, std::string_view> last_batch_names[] = {{LastBatch::partial, "partial"},
                                                                       {LastBatch::drop, "drop"},
                                                                       {LastBatch::pad, "pad"},
                                                                       {LastBatch::wrap, "wrap"},
                                                                       {LastBatch::strict, "strict"}};

/// A keyed permutation of [0, size): a Feistel network of two unequal halves on the smallest power of two that holds
/// `size`, with cycle walking.
///
/// Halves are added, not combined by exclusive or, which would make every round an even permutation: only half of all
/// orders of 16, 64, 256, … samples could come. The deviation from a fair shuffle falls with every round by a factor
/// that is small only for tiny halves, so these get more rounds. With random round functions, all 8! permutations of
/// eight elements then come with probabilities that differ by 0.02 % (standard deviation), pairs of sixteen by less
/// than 10^-9.
class Permutation {
 public:
  Permutation(std::uint64_t size, Rng rng) noexcept : size_(size) {
    const int num_bits = std::max(static_cast<int>(std::bit_width(size - 1)), 2);
    right_bits_ = num_bits / 2;
    left_bits_ = num_bits - right_bits_;
    num_rounds_ = num_bits <= 8 ? 40 : 12;
    const auto bits64 = [&rng] {
      const std::uint64_t high = rng();
      return high << 32 | rng();
    };
    first_key_ = bits64();
    key_step_ = bits64() | 1;
  }

  /// Of a value below `size`; on average fewer than two walks.
  std::uint64_t operator()(std::uint64_t value) const noexcept {
    do {
      value = permute(value);
    } while (value >= size_);
    return value;
  }

 private:
  std::uint64_t permute(std::uint64_t value) const noexcept {
    const std::uint64_t left_mask = (std::uint64_t{1} << left_bits_) - 1;
    const std::uint64_t right_mask = (std::uint64_t{1} << right_bits_) - 1;
    std::uint64_t left = value >> right_bits_;
    std::uint64_t right = value & right_mask;
    std::uint64_t key = first_key_;
    for (int round = 0; round < num_rounds_; round += 2) {
      left = (left + mix(key + right)) & left_mask;
      right = (right + mix(key + key_step_ + left)) & right_mask;
      key += 2 * key_step_;
    }
    return left << right_bits_ | right;
  }

  /// The upper half of two multiplications: each of its 32 bits depends on all bits of the value. The factor is odd
  /// and random.
  static std::uint64_t mix(std::uint64_t value) noexcept {
    constexpr std::uint64_t factor = 0xd1342543de82ef95u;
    value *= factor;
    value ^= value >> 32;
    value *= factor;
    return value >> 32;
  }

  std::uint64_t size_;
  std::uint64_t first_key_;
  std::uint64_t key_step_;  // round i has the key first_key_ + i · key_step_
  int left_bits_;           // the half that takes the odd bit, 1 to 32
  int right_bits_;
  int num_rounds_;
};

void require_row(std::uint64_t row, std::uint64_t num_rows) {
  if (row >= num_rows) throw ConfigError("order", fmt::format("expected a row below {}, received {}", num_rows, row));
}

}  // namespace

std::uint64_t ShuffledOrder::sample_id(std::uint64_t epoch, std::uint64_t row) const {
  require_row(row, num_samples_);
  return Permutation(num_samples_, Rng(seed_, epoch, 0, Stream::shuffle))(row);
}

BlockShuffledOrder::BlockShuffledOrder(std::uint64_t num_samples, std::uint64_t block_size, std::uint64_t seed)
    : num_samples_(num_samples), block_size_(block_size), seed_(seed) {
  if (block_size == 0) throw ConfigError("order", "expected blocks of at least 1 sample, received 0");
}

std::uint64_t BlockShuffledOrder::sample_id(std::uint64_t epoch, std::uint64_t row) const {
  require_row(row, num_samples_);
  const std::uint64_t block = row / block_size_;
  const std::uint64_t first = block * block_size_;
  const std::uint64_t size = std::min(block_size_, num_samples_ - first);
  return first + Permutation(size, Rng(seed_, epoch, block, Stream::shuffle))(row - first);
}

ExcludingOrder::ExcludingOrder(std::shared_ptr<const Order> rest, std::vector<std::uint64_t> excluded)
    : rest_(std::move(rest)) {
  if (rest_ == nullptr) throw ConfigError("order", "expected an order of the samples that are left in, received none");
  std::sort(excluded.begin(), excluded.end());
  excluded.erase(std::unique(excluded.begin(), excluded.end()), excluded.end());
  for (std::uint64_t i = 0; i < excluded.size(); ++i) num_left_below_.push_back(excluded[i] - i);
  if (!excluded.empty() && num_left_below_.back() > rest_->num_rows()) {
    throw ConfigError("order", fmt::format("expected ids to exclude below the number of samples ({} left in and {} "
                                           "left out), received {}; does the list belong to another data set?",
                                           rest_->num_rows(), excluded.size(), excluded.back()));
  }
}

std::uint64_t ExcludingOrder::sample_id(std::uint64_t epoch, std::uint64_t row) const {
  const std::uint64_t position = rest_->sample_id(epoch, row);
  const auto first_above = std::ranges::upper_bound(num_left_below_, position);
  return position + static_cast<std::uint64_t>(first_above - num_left_below_.begin());
}

std::string_view name(LastBatch policy) noexcept { return name_in(last_batch_names, policy); }
LastBatch last_batch_from_name(std::string_view name) { return value_in(last_batch_names, "last batch", name); }

EpochLayout::EpochLayout(std::uint64_t num_rows, std::int64_t batch_size, LastBatch policy, Shard shard)
    : num_rows_(num_rows), batch_size_(batch_size), policy_(policy), shard_(shard) {
  const auto refuse = [](const std::string& message) { throw ConfigError("order", message); };
  if (batch_size < 1) {
    refuse(fmt::format("expected a batch size of at least 1, received {}; set LoaderOptions::batch_size", batch_size));
  }
  if (shard.index >= shard.count) {
    refuse(fmt::format("expected a shard index below the number of shards, received shard {} of {}; count from 0",
                       shard.index, shard.count));
  }
  if (num_rows == 0) refuse("expected at least one row in an epoch, received none; is the source or the order empty?");

  constexpr std::uint64_t max_rows = std::numeric_limits<std::int64_t>::max();  // so that sums of two fit
  const auto rows_per_rank = static_cast<std::uint64_t>(batch_size);
  if (num_rows > max_rows || shard.count > max_rows / rows_per_rank) {
    refuse(fmt::format("expected fewer than 2^63 rows, received {} rows, and batches of {} for each of {} shards",
                       num_rows, batch_size, shard.count));
  }
  const std::uint64_t global_size = rows_per_rank * shard.count;
  const std::uint64_t num_full = num_rows / global_size;
  const std::uint64_t remainder = num_rows % global_size;
  const bool delivers_remainder = remainder != 0 && policy != LastBatch::drop;
  num_batches_ = num_full + (delivers_remainder ? 1 : 0);

  const std::string full_batch =
      shard.count == 1 ? fmt::format("{} rows", batch_size)
                       : fmt::format("{} rows ({} for each of {} shards)", global_size, batch_size, shard.count);
  const std::uint64_t max_batch_size = num_rows / shard.count;
  const std::string smaller = max_batch_size == 0
                                  ? std::string("use fewer shards")
                                  : fmt::format("set LoaderOptions::batch_size to at most {}", max_batch_size);
  if (policy == LastBatch::strict && remainder != 0) {
    refuse(
        fmt::format("LastBatch::strict expected the {} rows of an epoch to divide into batches of {}, received {} "
                    "full batches and {} rows more; {}, or LoaderOptions::last_batch to partial, drop, pad or wrap",
                    num_rows, full_batch, num_full, remainder,
                    num_full == 0 ? smaller : "set LoaderOptions::batch_size to a divisor"));
  }
  if (num_batches_ == 0) {
    refuse(
        fmt::format("LastBatch::drop expected at least one full batch of {}, received {} rows in an epoch, which "
                    "leaves no batch; {}, or LoaderOptions::last_batch to partial, pad or wrap",
                    full_batch, num_rows, smaller));
  }
}

std::uint64_t EpochLayout::global_row(std::uint64_t batch, std::int64_t k) const noexcept {
  return (batch * static_cast<std::uint64_t>(batch_size_) + static_cast<std::uint64_t>(k)) * shard_.count +
         shard_.index;
}

std::int64_t EpochLayout::num_rows(std::uint64_t batch) const noexcept {
  const std::uint64_t first = global_row(batch, 0);
  if (policy_ != LastBatch::partial) return batch_size_;
  if (first >= num_rows_) return 1;  // a filler: no rank goes without a batch
  const std::uint64_t num_left = (num_rows_ - first + shard_.count - 1) / shard_.count;
  return static_cast<std::int64_t>(std::min(num_left, static_cast<std::uint64_t>(batch_size_)));
}

std::optional<std::uint64_t> EpochLayout::row(std::uint64_t batch, std::int64_t k) const noexcept {
  const std::uint64_t row = global_row(batch, k);
  if (row < num_rows_) return row;
  if (policy_ == LastBatch::wrap) return row % num_rows_;
  return std::nullopt;
}

bool EpochLayout::wrapped(std::uint64_t batch, std::int64_t k) const noexcept {
  return policy_ == LastBatch::wrap && global_row(batch, k) >= num_rows_;
}

std::uint64_t EpochLayout::num_dropped() const noexcept {
  if (policy_ != LastBatch::drop) return 0;
  return num_rows_ - num_batches_ * static_cast<std::uint64_t>(batch_size_) * shard_.count;
}

}  // namespace muster

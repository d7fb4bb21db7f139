#include "muster/order.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "names.hpp"

namespace muster {
namespace {

constexpr std::pair<LastBatch, std::string_view> last_batch_names[] = {{LastBatch::partial, "partial"},
                                                                       {LastBatch::drop, "drop"},
                                                                       {LastBatch::pad, "pad"},
                                                                       {LastBatch::wrap, "wrap"},
                                                                       {LastBatch::strict, "strict"}};

/// A keyed permutation of [0, 2^(2 · half_bits)). Eight rounds: with four the permutations of four elements would
/// differ in probability by a third, with eight by at most 1.6 % (from all 4^8 choices of one-bit round functions).
class Feistel {
 public:
  Feistel(std::uint64_t seed, std::uint64_t epoch, int half_bits) noexcept : half_bits_(half_bits) {
    Rng rng(seed, epoch, 0, Stream::shuffle);
    for (std::uint64_t& key : round_keys_) key = std::uint64_t{rng()} << 32;
  }

  std::uint64_t operator()(std::uint64_t value) const noexcept {
    const std::uint64_t mask = (std::uint64_t{1} << half_bits_) - 1;
    std::uint64_t left = value >> half_bits_;
    std::uint64_t right = value & mask;
    for (const std::uint64_t key : round_keys_) {
      const std::uint64_t mixed = left ^ round(right | key);
      left = right;
      right = mixed;
    }
    return left << half_bits_ | right;
  }

 private:
  /// The top bits of two multiplications: each depends on all bits of key and half. The factor is odd and random.
  std::uint64_t round(std::uint64_t keyed_half) const noexcept {
    constexpr std::uint64_t factor = 0xd1342543de82ef95u;
    keyed_half *= factor;
    keyed_half ^= keyed_half >> 32;
    keyed_half *= factor;
    return keyed_half >> (64 - half_bits_);
  }

  std::array<std::uint64_t, 8> round_keys_;  // 32 random bits above an empty half
  int half_bits_;
};

}  // namespace

std::uint64_t ShuffledOrder::sample_id(std::uint64_t epoch, std::uint64_t row) const {
  if (row >= num_samples_) {  // walking from outside might never come in
    throw ConfigError("order", fmt::format("expected a row below {}, received {}", num_samples_, row));
  }
  const int num_bits = std::max(static_cast<int>(std::bit_width(num_samples_ - 1)), 1);
  const Feistel permute(seed_, epoch, (num_bits + 1) / 2);
  do {
    row = permute(row);
  } while (row >= num_samples_);
  return row;
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

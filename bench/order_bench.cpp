// Orders and ledgers: the cost of a row, and what a rank of a huge job pays before its first batch.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <vector>

#include <sys/resource.h>

#include "muster/ledger.hpp"
#include "muster/order.hpp"

namespace muster {
namespace {

constexpr std::uint64_t num_huge = 1'000'000'000;

/// Rows that lie all over the epoch.
void draw(benchmark::State& state, const Order& order) {
  const std::uint64_t step = order.num_rows() / 3 * 2 + 1;
  std::uint64_t row = 0;
  std::uint64_t sum = 0;
  for (auto _ : state) {
    sum += order.sample_id(1, row);
    row = (row + step) % order.num_rows();
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations());
}

void draw_shuffled(benchmark::State& state) {
  draw(state, ShuffledOrder(static_cast<std::uint64_t>(state.range(0)), 42));
}
BENCHMARK(draw_shuffled)
    ->ArgName("samples")
    ->Arg(10)
    ->Arg(1000)
    ->Arg(1'000'000)
    ->Arg(num_huge)       // 0.93 · 2^30: hardly any walk
    ->Arg((1 << 30) + 1)  // as many walks as there can be
    ->Arg(10'000'000'000);

void draw_block_shuffled(benchmark::State& state) { draw(state, BlockShuffledOrder(num_huge, 10'000, 42)); }
BENCHMARK(draw_block_shuffled);

void draw_excluding(benchmark::State& state) {
  std::vector<std::uint64_t> excluded;
  for (std::uint64_t i = 0; i < 100'000; ++i) excluded.push_back(i * 9973);
  const std::uint64_t num_left = num_huge - excluded.size();
  draw(state, ExcludingOrder(std::make_shared<ShuffledOrder>(num_left, 42), excluded));
}
BENCHMARK(draw_excluding);

/// Bytes of memory that this process has had at most.
double peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

/// Constructs order and layout of one of eight ranks, goes to the middle of the epoch and draws a million rows.
void seek_and_draw_a_million(benchmark::State& state) {
  constexpr std::int64_t batch_size = 250;
  constexpr std::uint64_t num_batches = 4000;
  const double bytes_before = peak_bytes();
  std::uint64_t epoch = 0;
  for (auto _ : state) {
    const ShuffledOrder order(num_huge, 42);
    const EpochLayout layout(order.num_rows(), batch_size, LastBatch::pad, {5, 8});
    Ledger ledger{.epoch = epoch, .num_rows = order.num_rows()};
    const std::uint64_t first = layout.num_batches() / 2;
    for (std::uint64_t batch = first; batch < first + num_batches; ++batch) {
      for (std::int64_t k = 0; k < batch_size; ++k) {
        const std::uint64_t row = layout.row(batch, k).value();
        ledger.add_shown(row, 8, order.sample_id(epoch, row));
      }
    }
    benchmark::DoNotOptimize(ledger);
    ++epoch;
  }
  state.SetItemsProcessed(state.iterations() * 1'000'000);
  state.counters["grown_bytes"] = peak_bytes() - bytes_before;
}
BENCHMARK(seek_and_draw_a_million)->Unit(benchmark::kMillisecond);

void check_ledger(benchmark::State& state) {
  const ShuffledOrder order(1'000'000, 42);
  Ledger ledger{.num_rows = order.num_rows()};
  for (std::uint64_t row = 0; row < order.num_rows(); ++row) ledger.add_shown(row, 1, order.sample_id(0, row));
  for (auto _ : state) {
    bool exactly_once = check(ledger, order).exactly_once;
    benchmark::DoNotOptimize(exactly_once);
  }
  state.SetItemsProcessed(state.iterations() * 1'000'000);
}
BENCHMARK(check_ledger)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace muster

BENCHMARK_MAIN();

// Training on several machines: every MPI rank is a shard, gradients and ledgers are reduced, and rank 0 writes a
// state from which any number of ranks goes on, as long as the global batch stays the same.
//
//   mpirun -n 4 sample_mpi_train --state FILE
//   mpirun -n 2 sample_mpi_train --state FILE --resume
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <mpi.h>

#include "made_discs.hpp"
#include "softmax.hpp"

/// Options by name: the value given, or the default.
class Options {
 public:
  Options(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
      const std::string name = argv[i];
      if (!values_.contains(name)) throw std::invalid_argument("unknown option " + name);
      if (name != "--resume" && ++i == argc) throw std::invalid_argument("expected a value after " + name);
      values_[name] = argv[i];
    }
  }

  const std::string& text(const std::string& name) const { return values_.at(name); }
  std::uint64_t number(const std::string& name) const {
    const std::string& value = text(name);
    std::uint64_t result = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
    if (error == std::errc() && end == value.data() + value.size()) return result;
    throw std::invalid_argument("expected a number after " + name + ", received " + value);
  }

 private:
  std::map<std::string, std::string> values_ = {
      {"--data", ""},            // DIR/train/class/image.jpg and DIR/val/class/image.jpg; none: made images
      {"--images", "997"},       // how many to make for training
      {"--epochs", "2"},         //
      {"--global-batch", "12"},  // rows of a step, over all ranks
      {"--last-batch", "pad"},   //
      {"--threads", "1"},        // of a rank; mpirun gives each a core
      {"--state", ""},           // FILE, written after every --save-every steps and every epoch
      {"--save-every", "20"},    //
      {"--resume", ""},          // goes on from the state
      {"--stop-after", "0"},     // steps; 0: after the last epoch
  };
};

struct Ranks {
  int mine = 0;
  int count = 1;
};

muster::Loader open_loader(const Options& options, Ranks ranks, bool is_training) {
  const std::string& data = options.text("--data");
  std::shared_ptr<const muster::Source> source;
  if (data.empty()) {
    source = std::make_shared<MadeDiscs>(is_training ? options.number("--images") : 203, is_training ? 1 : 2);
  } else {
    source = std::make_shared<muster::ImageFolder>(data + (is_training ? "/train" : "/val"));
  }
  constexpr muster::Size size{32, 32};
  const muster::Normalize normalize{muster::imagenet_mean, muster::imagenet_stddev};
  const muster::Pipeline augment{muster::RandomResizedCrop{.size = size, .scale = {0.5, 1.0}},
                                 muster::RandomHorizontalFlip{}, normalize};
  const muster::Pipeline plain{muster::Resize{size}, normalize};

  const std::uint64_t global_batch = options.number("--global-batch");
  const auto num_ranks = static_cast<std::uint64_t>(ranks.count);
  if (global_batch % num_ranks != 0) throw std::invalid_argument("--global-batch does not divide by the ranks");
  const auto last_batch =
      is_training ? muster::last_batch_from_name(options.text("--last-batch")) : muster::LastBatch::pad;
  return {source,
          is_training ? augment : plain,
          {.batch_size = static_cast<std::int64_t>(global_batch / num_ranks),
           .shuffle = is_training,
           .seed = 42,
           .last_batch = last_batch,
           .shard = {static_cast<std::uint64_t>(ranks.mine), num_ranks},
           .exactly_once = last_batch == muster::LastBatch::partial || last_batch == muster::LastBatch::pad,
           .num_threads = static_cast<int>(options.number("--threads"))}};
}

void sum_over_ranks(std::span<double> values) {
  MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}

/// Throws unless all ranks have the same weights, to the last bit.
void expect_same_on_all_ranks(const std::vector<double>& weights) {
  std::vector<double> least = weights;
  std::vector<double> most = weights;
  const int count = static_cast<int>(weights.size());
  MPI_Allreduce(MPI_IN_PLACE, least.data(), count, MPI_DOUBLE, MPI_MIN, MPI_COMM_WORLD);
  MPI_Allreduce(MPI_IN_PLACE, most.data(), count, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  if (least != most) throw std::runtime_error("the ranks have different weights");
}

/// On rank 0: `ledger`, with those of all ranks merged into it.
muster::Ledger gathered(muster::Ledger ledger, const muster::Ledger& mine, Ranks ranks) {
  const std::string line = mine.to_json() + '\n';
  const int length = static_cast<int>(line.size());
  std::vector<int> lengths(static_cast<std::size_t>(ranks.count));
  std::vector<int> offsets(lengths.size());
  MPI_Gather(&length, 1, MPI_INT, lengths.data(), 1, MPI_INT, 0, MPI_COMM_WORLD);
  std::exclusive_scan(lengths.begin(), lengths.end(), offsets.begin(), 0);
  std::string text(static_cast<std::size_t>(offsets.back() + lengths.back()), '\0');  // empty but on rank 0
  MPI_Gatherv(line.data(), length, MPI_CHAR, text.data(), lengths.data(), offsets.data(), MPI_CHAR, 0, MPI_COMM_WORLD);
  std::istringstream lines(text);
  for (std::string other; std::getline(lines, other);) ledger.merge(muster::Ledger::from_json(other));
  return ledger;
}

/// Rank 0 reads, so that no other needs the file.
std::string read_on_rank_0(const std::string& path, Ranks ranks) {
  std::string text;
  if (ranks.mine == 0) {
    std::ifstream in(path);
    if (!in) throw std::runtime_error("cannot read the state from \"" + path + '"');
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  int length = static_cast<int>(text.size());
  MPI_Bcast(&length, 1, MPI_INT, 0, MPI_COMM_WORLD);
  text.resize(static_cast<std::size_t>(length));
  MPI_Bcast(text.data(), length, MPI_CHAR, 0, MPI_COMM_WORLD);
  return text;
}

class Training {
 public:
  Training(const Options& options, Ranks ranks)
      : options_(options),
        ranks_(ranks),
        loader_(open_loader(options, ranks, true)),
        held_out_(open_loader(options, ranks, false)),
        model_(loader_.source().classes().size()),
        save_every_(std::max(options.number("--save-every"), std::uint64_t{1})) {
    if (loader_.source().classes() != held_out_.source().classes()) {
      throw std::runtime_error("train and val have different classes");
    }
  }

  void run() {
    muster::EpochRange range = options_.text("--resume").empty() ? loader_.epoch(0) : resume();
    for (std::uint64_t epoch = range.epoch(); epoch < options_.number("--epochs") && !is_stopped(); ++epoch) {
      if (epoch != range.epoch()) range = loader_.epoch(epoch);
      for (const muster::Batch& batch : range) {
        step(batch);
        if (batch.index + 1 == loader_.num_batches()) continue;  // finish() has more to do
        if (is_stopped() || num_steps_ % save_every_ == 0) save(ledger_of(epoch));
        if (is_stopped()) return;
      }
      finish(epoch);
    }
  }

 private:
  bool is_stopped() const { return num_steps_ > 0 && num_steps_ == options_.number("--stop-after"); }

  /// One step on the global batch of which `batch` is this rank's part. Sums are reduced, not means, and divided by the
  /// rows of all ranks: so each sample weighs the same, and fillers nothing. Another number of ranks adds the same
  /// numbers in another order: the last bits of a double may differ, and no more.
  void step(const muster::Batch& batch) {
    const std::size_t num_weights = model_.weights.size();
    std::vector<double> sums(num_weights + 2);  // gradient, loss, rows
    for (const Example& example : examples_of(batch)) {
      sums[num_weights] += model_.add_gradient(example, sums.data());
      sums[num_weights + 1] += 1;
    }
    sum_over_ranks(sums);
    const double num_rows = sums[num_weights + 1];
    for (std::size_t i = 0; i < num_weights; ++i) model_.weights[i] -= 0.1 * sums[i] / num_rows;
    ++num_steps_;
    if (ranks_.mine == 0 && batch.index % 10 == 0) {
      std::printf("epoch %d step %d loss %.12f\n", static_cast<int>(batch.epoch), static_cast<int>(batch.index),
                  sums[num_weights] / num_rows);
    }
  }

  /// What the whole epoch owes: proof of what was shown, the accuracy, a state.
  void finish(std::uint64_t epoch) {
    expect_same_on_all_ranks(model_.weights);
    const muster::Ledger ledger = ledger_of(epoch);
    const double right = accuracy(epoch);
    const muster::Ledger tested =
        gathered({.epoch = epoch, .num_rows = held_out_.num_rows()}, held_out_.ledger(epoch), ranks_);
    if (ranks_.mine == 0) {
      report("train", ledger, loader_);
      report("held out", tested, held_out_);
      std::printf("epoch %d accuracy %.6f\n", static_cast<int>(epoch), right);
    }
    save({});  // the loader's state is now the start of the next epoch, of which nothing was shown
  }

  /// Share of the held-out samples that the model gets right. Each counts once, however unevenly they fall on ranks.
  double accuracy(std::uint64_t epoch) {
    std::array<double, 2> sums{};  // right, all
    for (const muster::Batch& batch : held_out_.epoch(epoch)) {
      for (const Example& example : examples_of(batch)) {
        sums[0] += model_.is_right(example) ? 1 : 0;
        sums[1] += 1;
      }
    }
    sum_over_ranks(sums);
    return sums[0] / sums[1];
  }

  static void report(const char* what, const muster::Ledger& ledger, const muster::Loader& loader) {
    const muster::LedgerVerdict verdict = check(ledger, *loader.options().order);
    std::printf("%s: %s (%d rows, %d fillers)\n", what, verdict.to_string().c_str(), static_cast<int>(ledger.num_shown),
                static_cast<int>(ledger.num_fillers));
    if (loader.options().exactly_once && !verdict.exactly_once) throw std::runtime_error("not exactly once");
  }

  /// What all ranks have delivered of the epoch, by this run and those that it resumed; whole on rank 0.
  muster::Ledger ledger_of(std::uint64_t epoch) {
    muster::Ledger before{.epoch = epoch, .num_rows = loader_.num_rows()};
    if (resumed_.epoch == epoch && resumed_.num_rows > 0) before = resumed_;
    return gathered(before, loader_.ledger(epoch), ranks_);
  }

  /// Loader, ledger and weights. Killed at any moment, it leaves the old file or the new.
  void save(const muster::Ledger& ledger) const {
    const std::string& path = options_.text("--state");
    if (ranks_.mine != 0 || path.empty()) return;
    const std::string unfinished = path + ".unfinished";
    std::ofstream out(unfinished);
    out << loader_.state() << '\n' << ledger.to_json() << '\n' << std::hexfloat;  // every bit of a weight
    for (const double weight : model_.weights) out << weight << '\n';
    out.close();
    if (!out) throw std::runtime_error("cannot write " + unfinished);
    std::filesystem::rename(unfinished, path);
  }

  muster::EpochRange resume() {
    std::istringstream lines(read_on_rank_0(options_.text("--state"), ranks_));
    std::string state;
    std::string line;
    std::getline(lines, state);
    std::getline(lines, line);
    resumed_ = muster::Ledger::from_json(line);
    for (double& weight : model_.weights) {
      char* end = nullptr;
      if (std::getline(lines, line)) weight = std::strtod(line.c_str(), &end);
      if (end != line.data() + line.size()) throw std::runtime_error("the state is damaged, or of a smaller model");
    }
    if (std::getline(lines, line)) throw std::runtime_error("the state is damaged, or of a larger model");
    return loader_.resume(state);
  }

  Options options_;
  Ranks ranks_;
  muster::Loader loader_;
  muster::Loader held_out_;
  Softmax model_;
  std::uint64_t save_every_;
  muster::Ledger resumed_;
  std::uint64_t num_steps_ = 0;
};

int main(int argc, char** argv) {
  int provided = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);  // the loader's threads do not call MPI
  Ranks ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &ranks.mine);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks.count);
  try {
    Training(Options(argc, argv), ranks).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "rank %d: %s\n", ranks.mine, error.what());
    MPI_Abort(MPI_COMM_WORLD, 1);  // also ends the ranks that wait for this one
  }
  MPI_Finalize();
}

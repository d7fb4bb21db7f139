// Training on several machines: every MPI rank is a shard, gradients and ledgers are reduced, and rank 0 writes a
// state from which any number of ranks goes on, as long as the global batch stays the same.
//
//   mpirun -n 4 sample_mpi_train --state FILE
//   mpirun -n 2 sample_mpi_train --state FILE --resume
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
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
  const auto last_batch = is_training ? muster::last_batch_from_name(options.text("--last-batch")) : muster::LastBatch::pad;
  return {source, is_training ? augment : plain,
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

/// One step on the global batch of which `batch` is this rank's part; returns the mean loss of its rows. Sums are
/// reduced, not means, and divided by the rows of all ranks: so each sample weighs the same, and fillers nothing. Another
/// number of ranks adds the same numbers in another order, which in double changes a weight by some 1e-16 a step.
double train_step(Softmax& model, const muster::Batch& batch) {
  const std::size_t num_weights = model.weights.size();
  std::vector<double> sums(num_weights + 2);  // gradient, loss, rows
  for (const Example& example : examples_of(batch)) {
    sums[num_weights] += model.add_gradient(example, sums.data());
    sums[num_weights + 1] += 1;
  }
  sum_over_ranks(sums);
  const double num_rows = sums[num_weights + 1];
  for (std::size_t i = 0; i < num_weights; ++i) model.weights[i] -= 0.1 * sums[i] / num_rows;
  return sums[num_weights] / num_rows;
}

/// Share of the held-out samples that the model gets right. Each counts once, however unevenly they fall on the ranks.
double accuracy(const Softmax& model, muster::Loader& held_out, std::uint64_t epoch) {
  std::array<double, 2> sums{};  // right, all
  for (const muster::Batch& batch : held_out.epoch(epoch)) {
    for (const Example& example : examples_of(batch)) {
      sums[0] += model.is_right(example) ? 1 : 0;
      sums[1] += 1;
    }
  }
  sum_over_ranks(sums);
  return sums[0] / sums[1];
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

/// On rank 0 `ledger` with those of all ranks merged into it.
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

/// What a run needs to go on.
struct State {
  std::string loader = {};            // of any rank, for all of them
  muster::Ledger ledger = {};         // what all ranks have delivered of the epoch so far
  std::vector<double> weights = {};
};

/// Killed at any moment, it leaves the old file or the new.
void save(const State& state, const std::string& path) {
  const std::string unfinished = path + ".unfinished";
  std::ofstream out(unfinished);
  out << state.loader << '\n' << state.ledger.to_json() << '\n' << std::hexfloat;  // every bit of a weight
  for (const double weight : state.weights) out << weight << '\n';
  out.close();
  if (!out) throw std::runtime_error("cannot write " + unfinished);
  std::filesystem::rename(unfinished, path);
}

/// Rank 0 reads, so that no other needs the file.
State load(const std::string& path, Ranks ranks) {
  std::string text;
  if (ranks.mine == 0) {
    std::ifstream in(path);
    if (!in) throw std::runtime_error("cannot read " + path);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  int length = static_cast<int>(text.size());
  MPI_Bcast(&length, 1, MPI_INT, 0, MPI_COMM_WORLD);
  text.resize(static_cast<std::size_t>(length));
  MPI_Bcast(text.data(), length, MPI_CHAR, 0, MPI_COMM_WORLD);

  State state;
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, state.loader);
  std::getline(lines, line);
  state.ledger = muster::Ledger::from_json(line);
  while (std::getline(lines, line)) state.weights.push_back(std::strtod(line.c_str(), nullptr));
  return state;
}

void train(const Options& options, Ranks ranks) {
  muster::Loader loader = open_loader(options, ranks, true);
  muster::Loader held_out = open_loader(options, ranks, false);
  if (loader.source().classes() != held_out.source().classes()) throw std::runtime_error("train and val have other classes");
  Softmax model(loader.source().classes().size());
  const std::string& path = options.text("--state");

  State begun;
  if (!options.text("--resume").empty()) {
    begun = load(path, ranks);
    if (begun.weights.size() != model.weights.size()) throw std::runtime_error(path + " is of another model, or damaged");
    model.weights = begun.weights;
  }
  muster::EpochRange range = begun.loader.empty() ? loader.epoch(0) : loader.resume(begun.loader);
  std::uint64_t num_steps = 0;
  bool stopped = false;
  for (std::uint64_t epoch = range.epoch(); epoch < options.number("--epochs") && !stopped; ++epoch) {
    if (epoch != range.epoch()) range = loader.epoch(epoch);
    muster::Ledger before{.epoch = epoch, .num_rows = loader.num_rows()};
    if (begun.ledger.epoch == epoch && begun.ledger.num_rows > 0) before = begun.ledger;

    for (const muster::Batch& batch : range) {
      const double loss = train_step(model, batch);
      if (ranks.mine == 0 && batch.index % 10 == 0) {
        std::printf("epoch %d step %d loss %.12f\n", static_cast<int>(epoch), static_cast<int>(batch.index), loss);
      }
      stopped = ++num_steps == options.number("--stop-after");
      if (batch.index + 1 == loader.num_batches()) break;  // the epoch is whole: see below
      if (stopped || num_steps % options.number("--save-every") == 0) {
        const muster::Ledger ledger = gathered(before, loader.ledger(epoch), ranks);
        if (ranks.mine == 0 && !path.empty()) save({loader.state(), ledger, model.weights}, path);
      }
      if (stopped) return;
    }

    expect_same_on_all_ranks(model.weights);
    const double share = accuracy(model, held_out, epoch);
    const muster::Ledger ledger = gathered(before, loader.ledger(epoch), ranks);
    const muster::Ledger tested = gathered({.epoch = epoch, .num_rows = held_out.num_rows()}, held_out.ledger(epoch), ranks);
    if (ranks.mine != 0) continue;
    std::printf("epoch %d: ...");
  }
}

// Remedies: images, parameters and layers with which a network would fit. Each is tried by walking the whole network.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "trace/walked.hpp"

namespace muster {

/// "let the pipeline end in 224x224: ..."
std::string end_in(Size size);

/// The network with one more node, through which node `index` gets what it reads.
Network with_node(Network network, std::size_t index, Operation op);

/// What a search may cost, in nodes applied; a second or so, all in all.
struct SearchBudget {
  std::int64_t sizes = 3'000'000;
  std::int64_t changes = 1'000'000;
};
inline constexpr SearchBudget no_search = {.sizes = 0, .changes = 0};

class Remedies {
 public:
  /// For what fails at the node `failing`; nodes.size() for the model's input. Refers to `walked`.
  Remedies(const WalkedNetwork& walked, std::size_t failing, SearchBudget budget);

  /// The network with an input for images of any size: to be copied, changed and tried.
  const Network& network() const { return open_; }

  /// Where the batch itself is at fault: what it should have been. From here on, everything is tried with that.
  void mend_batch(Dims batch) { mended_batch_ = std::move(batch); }
  const std::optional<Dims>& mended_batch() const { return mended_batch_; }

  /// Advice that cannot be tried.
  void add(std::string remedy) { remedies_.push_back(std::move(remedy)); }
  /// If the changed network comes further than the failing layer.
  void add_if_passes(const std::string& remedy, const Network& changed);
  /// Whatever it comes to: where it is the answer.
  void add_always(const std::string& remedy, const Network& changed);
  /// The nearest image sizes that fit, if there are any.
  std::optional<FittingSizes> add_sizes();
  /// A ceil_mode or a padding that alone makes the network fit. The pooling layer whose rounding down is to blame,
  /// unless a convolution before it leaves rows over as well.
  std::optional<std::size_t> add_paddings();

  /// What mends the whole network; what another layer undoes only where nothing else helps.
  std::vector<std::string> list() const;

  /// One step that forward() may take where the print does not show it, and with which the whole network fits; empty if
  /// there is none.
  std::string unseen_step();

 private:
  /// How far a walk comes that fails at failing_ as things are.
  struct Reach {
    bool passes = false;  // beyond the failing layer
    std::optional<std::size_t> until = {};

    bool whole() const { return passes && !until; }
  };
  struct Padding {
    std::int64_t rows = 0;
    Reach reached = {};
  };

  Reach reach(const Network& network, Size size, std::int64_t& budget) const;
  Reach reach(const Network& changed) { return reach(changed, walked_.image_size(), budget_.changes); }
  void add_if_passes(const std::string& remedy, const Reach& reached);
  std::string until(const Reach& reached) const;
  std::optional<FittingSizes> nearest(const std::function<Size(std::int64_t)>& at, std::int64_t now, bool whole);
  std::optional<FittingSizes> nearest();
  bool paddings_cost_enough() const { return budget_.changes <= half_of_changes_; }
  Padding fitting_padding(std::size_t index);

  const WalkedNetwork& walked_;
  std::size_t failing_;
  SearchBudget budget_;
  std::int64_t half_of_changes_;  // left to the remedies that are tried once
  std::int64_t cost_ = 0;         // of a walk
  Network open_;
  ImageAxes axes_;
  std::optional<Dims> mended_batch_;
  std::vector<std::string> remedies_;
  std::vector<std::string> partial_;  // help as far as they say
  bool any_whole_ = false;
};

}  // namespace muster

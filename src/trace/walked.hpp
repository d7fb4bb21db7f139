// A network as a batch went through it: what reached each node, on which way, and where it stands in the table.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "trace/network.hpp"
#include "trace/walk.hpp"

namespace muster {

/// The image that was flattened into rows, and the node that did it.
struct Flattened {
  Dims image;
  std::size_t by;
};

/// Refers to the network and the walk that it is made of.
class WalkedNetwork {
 public:
  WalkedNetwork(const Network& network, const Walk& walk);

  const Network& network() const { return network_; }
  const Walk& walk() const { return walk_; }
  const Dims& batch() const { return *walk_.values[0].dims; }
  Size image_size() const { return axes_.size_of(batch()); }
  /// Nothing for the model's input, where faults may be as well.
  const Node* node(std::size_t index) const;

  /// What reaches a node, and what it gives; nothing if that is not known.
  const std::optional<Dims>& in(const Node& node, std::size_t input = 0) const;
  const std::optional<Dims>& out(const Node& node) const;

  /// The row of the table in which the node stands; 0 for the model's input, and for what the table does not show.
  std::size_t row(std::size_t index) const { return index < rows_.size() ? rows_[index] : 0; }
  /// "layer 3 Conv2d(...)", as the table counts.
  std::string call(std::size_t index) const;

  /// The node that gives the first input; nothing if that is the batch or a constant.
  std::optional<std::size_t> before(const Node& node) const;
  /// Back along first inputs, as long as `passes` says so of the node; nothing when that leads to the batch.
  template <class Passes>
  std::optional<std::size_t> back_to(const Node& from, Passes passes) const {
    std::optional<std::size_t> at = before(from);
    while (at && passes(network_.nodes[*at])) at = before(network_.nodes[*at]);
    return at;
  }
  /// What the rows that reach the node were as an image, if they were.
  std::optional<Flattened> flattened(const Node& to) const;

  /// "height on the way: 192 -> 47 -> 23 -> 11 -> 5", along axis 2 or 3.
  std::string path(const Node& to, std::size_t axis) const;
  /// What convolutions without padding took away on the way; empty if there are none.
  std::string unpadded(const Node& to, std::size_t axis) const;

 private:
  /// The nodes that lead to this one along first inputs, in order.
  std::vector<const Node*> way(const Node& to) const;

  const Network& network_;
  const Walk& walk_;
  ImageAxes axes_;
  std::vector<std::size_t> rows_;                   // by node
  std::vector<std::optional<std::size_t>> makers_;  // by value
};

}  // namespace muster

// What is asked of ONNX's own classes in more than one place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "interop/onnx_headers.hpp"
#include "trace/network.hpp"

namespace muster {

constexpr std::size_t longest_content = 1024;  // elements; shapes and axes are far shorter

/// protobuf would print what is wrong with a file to standard error.
class Quiet {
 public:
  Quiet() : silencer_() {}  // so that one is not unused. NOLINT(readability-redundant-member-init)

 private:
  google::protobuf::LogSilencer silencer_;
};

/// A name of the file's, as a table can show it.
std::string printable(std::string_view text);
/// A message of libonnx's, cut and without line breaks.
std::string one_line(std::string_view message);

/// True for the types of elements that shapes are computed with.
bool is_integer(std::int64_t type);

/// The numbers of a short integer tensor that lies in the file itself.
std::optional<Dims> content_of(const onnx::TensorProto& tensor);
/// The numbers of a short float32 tensor that lies in the file itself, if sizes can be multiplied by them.
std::optional<std::vector<float>> factors_of(const onnx::TensorProto& tensor);

/// Dimensions as far as they are numbers; nothing without a shape.
std::optional<std::vector<std::optional<std::int64_t>>> declared_dims(const onnx::TypeProto& type);
/// Nothing unless all of them are numbers.
std::optional<Dims> known_dims(const onnx::TypeProto& type);

/// Gives the graph one more input; the shape is open.
onnx::TypeProto_Tensor& add_input(onnx::GraphProto& graph, const std::string& name, int element_type);
void set_dims(onnx::TypeProto_Tensor& type, std::span<const std::int64_t> dims);

/// What slides a window.
struct WindowAttributes {
  PerAxis kernel;
  PerAxis stride;
  PerAxis dilation;
  WindowPadding padding;
};

/// Attributes of a node, with their defaults. Refers to the node.
class Attributes {
 public:
  explicit Attributes(const onnx::NodeProto& node);

  const onnx::AttributeProto* find(const std::string& name) const;
  std::int64_t number(const std::string& name, std::int64_t fallback) const;
  std::string word(const std::string& name) const;
  std::optional<Dims> numbers(const std::string& name) const;
  /// Two numbers, height and width; nothing if there are others than two.
  std::optional<PerAxis> pair(const std::string& name, const PerAxis& fallback) const;
  /// Nothing if it is none of height and width.
  std::optional<WindowAttributes> window(const PerAxis& default_kernel) const;

 private:
  std::optional<WindowPadding> padding() const;

  std::map<std::string, const onnx::AttributeProto*> byname_;
};

}  // namespace muster

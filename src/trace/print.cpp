// Traces in words.
#include <algorithm>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "trace/network.hpp"

namespace muster {

std::string_view name(ShapeCause cause) noexcept {
  switch (cause) {
    case ShapeCause::batch_size:
      return "batch size";
    case ShapeCause::channels:
      return "channels";
    case ShapeCause::layout:
      return "layout";
    case ShapeCause::input_size:
      return "input size";
    case ShapeCause::arithmetic:
      return "convolution arithmetic";
    case ShapeCause::rounding:
      return "pooling rounds down";
    case ShapeCause::flatten:
      return "flatten follows the image size";
    case ShapeCause::dimensions:
      return "dimensions";
    case ShapeCause::join:
      return "branches";
    case ShapeCause::parameters:
      return "parameters";
    case ShapeCause::other:
      break;
  }
  return "other";
}

const TraceRow* Trace::first_unknown() const noexcept {
  const auto found = std::ranges::find_if(rows, [](const TraceRow& row) { return row.fits && row.out.empty(); });
  return found == rows.end() ? nullptr : &*found;
}

std::string Trace::table() const {
  const auto shape = [](const Dims& dims) { return dims.empty() ? std::string("?") : describe(dims); };
  std::size_t layer_width = 5, in_width = 2;
  for (const TraceRow& row : rows) {
    layer_width = std::max(layer_width, row.layer.size());
    in_width = std::max(in_width, shape(row.in).size());
  }
  std::string text = fmt::format("{:>3}  {:<{}}  {:<{}}  {}\n", "", "layer", layer_width, "in", in_width, "out");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const TraceRow& row = rows[i];
    const std::string failure = row.fits ? "" : undecided() ? "undecided" : "does not fit";
    const std::string in = i == 0 ? "" : shape(row.in);
    const std::string out = i == 0     ? shape(row.out) + (row.fits ? "" : "  ") + failure
                            : row.fits ? shape(row.out)
                                       : failure;
    text += fmt::format("{:>3}  {:<{}}  {:<{}}  {}\n", i == 0 ? "" : std::to_string(i), row.layer, layer_width, in,
                        in_width, out);
  }
  return text;
}

std::string Trace::to_string() const {
  std::string text = table();
  if (const TraceRow* unknown = first_unknown()) {
    text += fmt::format("\nnot known, so not held against anything: what {} gives, and what follows from that alone\n",
                        unknown->layer);
  }
  for (const std::string& caveat : caveats) text += fmt::format("\nnote: {}\n", caveat);
  if (!diagnosis) return text;
  const ShapeDiagnosis& why = *diagnosis;
  if (undecided()) text += fmt::format("\nthe print alone cannot decide: the model fits if {}\n", why.fits_if);
  text += why.row == 0 ? std::string("\nthe batch does not fit the model\n")
                       : fmt::format("\n{}layer {} {} does not fit\n", undecided() ? "as it is printed, " : "", why.row,
                                     rows[why.row].layer);
  if (!why.dimension.empty()) {
    text += fmt::format("  {}: expected {}, received {}\n", why.dimension, why.expected, why.received);
  }
  text += fmt::format("  cause: {}: {}\n", name(why.cause), why.explanation);
  if (!why.remedies.empty())
    text += why.remedies.size() == 1 ? "  what would fit:\n" : "  what would fit, each alone:\n";
  for (const std::string& remedy : why.remedies) text += fmt::format("    - {}\n", remedy);
  if (!why.next.empty()) text += fmt::format("  once that is mended, next: {}\n", why.next);
  return text;
}

}  // namespace muster

#include "pipeline/proof.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

namespace muster {
namespace {

/// Upper bounds may lie above what any image reaches: times 65500, as a stage may ask next, they still fit into 64
/// bits.
constexpr std::int64_t largest_bound = std::int64_t{1} << 46;

/// What happens to one exact size on its way through the stages.
struct Trial {
  Size input;
  std::vector<Size> sizes;         // after each stage that took it
  std::optional<Refusal> refusal;  // of stage sizes.size()
  std::optional<Extent> inexact;   // what stage sizes.size() answered instead of one size

  bool passed() const { return !refusal && !inexact; }
  Size output() const { return sizes.empty() ? input : sizes.back(); }
};

Trial try_size(const std::vector<Stage>& stages, Size input) {
  Trial trial{.input = input, .sizes = {}, .refusal = {}, .inexact = {}};
  for (const Stage& stage : stages) {
    const ExtentResult result = stage.output_extent(Extent::exactly(trial.output()));
    if (const auto* refusal = std::get_if<Refusal>(&result)) {
      trial.refusal = *refusal;
      return trial;
    }
    const Extent& out = std::get<Extent>(result);
    if (!out.is_exact() || std::min(out.min.height, out.min.width) < 1 ||
        std::max(out.min.height, out.min.width) > largest_side) {
      trial.inexact = out;
      return trial;
    }
    trial.sizes.push_back(out.min);
  }
  return trial;
}

/// Sizes to look for witnesses among: first such as photographs have, then a grid over the whole range.
std::vector<Size> candidate_sizes() {
  std::vector<Size> sizes = {{375, 500},   {500, 375},   {333, 500}, {480, 640}, {100, 100}, {256, 256}, {224, 224},
                             {1080, 1920}, {3024, 4032}, {64, 64},   {32, 32},   {1, 1},     {1, 5000},  {5000, 1}};
  constexpr std::int64_t sides[] = {1,   2,   3,   5,   8,   15,  16,  17,   31,   32,   33,   63,    64,      65,
                                    96,  127, 128, 129, 200, 223, 224, 225,  255,  256,  257,  299,   300,     384,
                                    400, 512, 640, 641, 768, 800, 999, 1024, 1333, 2048, 4096, 16384, max_side};
  for (const std::int64_t height : sides) {
    for (const std::int64_t width : sides) sizes.push_back({height, width});
  }
  return sizes;
}

std::string path_of(const std::vector<Stage>& stages, const Trial& trial) {
  std::string text = to_string(trial.input);
  for (std::size_t i = 0; i < trial.sizes.size(); ++i) {
    text += fmt::format(" -> {} {}", stages[i].name(), to_string(trial.sizes[i]));
  }
  return text;
}

[[noreturn]] void throw_refused(const std::vector<Stage>& stages, std::size_t index, const Refusal& refusal) {
  const std::string where = stage_name(stages, index);
  for (const Size size : candidate_sizes()) {
    const Trial trial = try_size(stages, size);
    if (!trial.refusal || trial.sizes.size() != index) continue;
    throw ConfigError("pipeline",
                      fmt::format("{} cannot take every size that may reach it: it {}\n  witness: {} -> refused", where,
                                  trial.refusal->reason, path_of(stages, trial)));
  }
  throw ConfigError("pipeline", fmt::format("{} is not provable to take every size that may reach it: for {} it {}",
                                            where, to_string(refusal.input), refusal.reason));
}

[[noreturn]] void throw_open(const std::vector<Stage>& stages, const ShapeProof& proof) {
  constexpr std::string_view advice =
      "add a stage that fixes it, such as CenterCrop, RandomResizedCrop or Resize to a {height, width}, after it";
  // The stage to name is the last that changes sizes; if none does, the size of the image itself is open.
  std::string opened_by = "no stage fixes the size of the images";
  for (std::size_t i = 0; i < proof.rows.size(); ++i) {
    const Extent& before = i == 0 ? proof.input : proof.rows[i - 1].out;
    if (proof.rows[i].out != before) opened_by = stage_name(stages, i) + " leaves it open";
  }
  const Extent& out = proof.rows.empty() ? proof.input : proof.rows.back().out;
  std::optional<Trial> first;
  for (const Size size : candidate_sizes()) {
    const Trial trial = try_size(stages, size);
    if (!trial.passed()) continue;
    if (!first) first = trial;
    if (trial.output() == first->output()) continue;
    throw OpenSizeError(
        "pipeline", fmt::format("the final size is not one fixed height x width: {}; {}\n  witness: {}\n  witness: {}",
                                opened_by, advice, path_of(stages, *first), path_of(stages, trial)));
  }
  throw OpenSizeError("pipeline",
                      fmt::format("the final size is not provable to be one fixed height x width ({}): {}; {}",
                                  to_string(out), opened_by, advice));
}

/// A stage's answers for exact sizes must be exact and agree with what it said of all sizes.
void check_consistency(const std::vector<Stage>& stages, const ShapeProof& proof) {
  for (const Size size : {Size{375, 500}, Size{500, 375}, Size{1, 1}, Size{1, 5000}, Size{1080, 1920}}) {
    const Trial trial = try_size(stages, size);
    const std::size_t index = trial.sizes.size();
    if (trial.refusal) throw_refused(stages, index, *trial.refusal);
    if (trial.inexact) {
      throw ConfigError("pipeline", fmt::format("{} answers {} for an image of exactly {}: output_extent of one size "
                                                "must be one size, of sides from 1 to {}, or a Refusal",
                                                stage_name(stages, index), to_string(*trial.inexact),
                                                to_string(trial.output()), largest_side));
    }
    for (std::size_t i = 0; i < proof.rows.size(); ++i) {
      if (proof.rows[i].out.contains(trial.sizes[i])) continue;
      throw ConfigError(
          "pipeline",
          fmt::format("{} contradicts itself: it gives {} for the sizes that may reach it, but "
                      "{} for an image of {}",
                      stage_name(stages, i), to_string(proof.rows[i].out), to_string(trial.sizes[i]), to_string(size)));
    }
  }
}

}  // namespace

std::string stage_name(const std::vector<Stage>& stages, std::size_t index) {
  return fmt::format("stage {} {}", index + 1, stages[index].name());
}

ShapeProof prove(const std::vector<Stage>& stages, int num_channels) {
  ShapeProof proof;
  proof.channels = num_channels;
  Extent extent = proof.input;
  for (std::size_t i = 0; i < stages.size(); ++i) {
    const ExtentResult result = stages[i].output_extent(extent);
    if (const auto* refusal = std::get_if<Refusal>(&result)) throw_refused(stages, i, *refusal);
    extent = std::get<Extent>(result);
    if (extent.min.height < 1 || extent.min.width < 1 || extent.max.height < extent.min.height ||
        extent.max.width < extent.min.width || std::max(extent.min.height, extent.min.width) > largest_side ||
        std::max(extent.max.height, extent.max.width) > largest_bound) {
      throw ConfigError("pipeline",
                        fmt::format("{} gives the sizes {}: sides are from 1 to {}, and the least size comes first",
                                    stage_name(stages, i), to_string(extent), largest_side));
    }
    proof.rows.push_back({describe(stages[i]), extent});
  }
  if (!extent.is_exact()) throw_open(stages, proof);
  check_consistency(stages, proof);
  proof.output = extent.min;
  return proof;
}

std::string ShapeProof::to_string() const {
  std::size_t width = std::string_view("any image").size();
  for (const Row& row : rows) width = std::max(width, row.stage.size());
  std::string text = fmt::format("     {:<{}}  {}\n", "any image", width, muster::to_string(input));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    text += fmt::format("{:>3}  {:<{}}  {}\n", i + 1, rows[i].stage, width, muster::to_string(rows[i].out));
  }
  text += fmt::format("     {:<{}}  {} x {} x {}\n", "every sample", width, channels, output.height, output.width);
  return text;
}

}  // namespace muster

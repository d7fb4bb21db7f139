// What parameters of our stages may be. The shape proof relies on it.
#include <cmath>

#include <fmt/format.h>

#include "pipeline/proof.hpp"

namespace muster {
namespace {

class Check {
 public:
  explicit Check(std::string_view stage) : stage_(stage) {}

  void that(bool holds, std::string_view field, std::string_view expected, const std::string& received) const {
    if (holds) return;
    throw ConfigError("pipeline", fmt::format("{}: {} must be {}, received {}", stage_, field, expected, received));
  }

  void side(std::int64_t value, std::string_view field, std::int64_t least = 1) const {
    that(value >= least && value <= max_side, field, fmt::format("from {} to {}", least, max_side),
         std::to_string(value));
  }
  void size(Size value, std::string_view field, std::int64_t least = 1) const {
    side(value.height, fmt::format("{}.height", field), least);
    side(value.width, fmt::format("{}.width", field), least);
  }
  void padding(const Padding& value) const {
    side(value.left, "padding.left", 0);
    side(value.top, "padding.top", 0);
    side(value.right, "padding.right", 0);
    side(value.bottom, "padding.bottom", 0);
  }
  void positive_range(Range value, std::string_view field) const {
    that(value.low >= 1e-6 && value.low <= value.high && value.high <= 1e6, field, "1e-6 <= low <= high <= 1e6",
         fmt::format("[{}, {}]", value.low, value.high));
  }
  void probability(double p) const { that(p >= 0 && p <= 1, "p", "from 0 to 1", fmt::format("{}", p)); }

 private:
  std::string_view stage_;
};

void validate(const RandomResizedCrop& stage, const Check& check) {
  check.size(stage.size, "size");
  check.positive_range(stage.scale, "scale");
  check.positive_range(stage.ratio, "ratio");
}

void validate(const Resize& stage, const Check& check) {
  if (stage.size.exact) {
    check.size(*stage.size.exact, "size");
    check.that(stage.max_size == 0, "max_size", "left out when size is a height and a width",
               std::to_string(stage.max_size));
  } else {
    check.side(stage.size.shorter, "size");
    check.side(stage.max_size, "max_size", 0);
    check.that(stage.max_size == 0 || stage.max_size > stage.size.shorter, "max_size",
               fmt::format("larger than size, {}", stage.size.shorter), std::to_string(stage.max_size));
  }
}

void validate(const CenterCrop& stage, const Check& check) { check.size(stage.size, "size"); }

void validate(const RandomCrop& stage, const Check& check) {
  check.size(stage.size, "size");
  check.padding(stage.padding);
}

void validate(const Pad& stage, const Check& check) { check.padding(stage.padding); }

void validate(const PadTo& stage, const Check& check) {
  check.size(stage.size, "size", 0);
  check.size(stage.multiple, "multiple", 0);
}

void validate(const LetterBox& stage, const Check& check) {
  check.size(stage.size, "size");
  check.side(stage.stride, "stride", 0);
}

void validate(const RandomHorizontalFlip& stage, const Check& check) { check.probability(stage.p); }
void validate(const RandomVerticalFlip& stage, const Check& check) { check.probability(stage.p); }

void validate(const Normalize& stage, const Check& check, int num_channels) {
  const auto fits = [&](const PerChannel& values, std::string_view field) {
    check.that(values.size() == 1 || values.size() == static_cast<std::size_t>(num_channels), field,
               fmt::format("one value, or one for each of {} channel(s); see DecodeOptions::color", num_channels),
               fmt::format("{} values", values.size()));
    for (const double value : values) check.that(std::isfinite(value), field, "finite", fmt::format("{}", value));
  };
  fits(stage.mean, "mean");
  fits(stage.stddev, "std");
  for (const double value : stage.stddev) {
    check.that(static_cast<float>(value) != 0, "std", "different from 0 as a float", fmt::format("{}", value));
  }
}

}  // namespace

void validate(const Stage& stage, int num_channels) {
  const Check check(stage.name());
  const auto try_type = [&]<class S>() {
    const S* value = stage.get_if<S>();
    if (value != nullptr) validate(*value, check);
  };
  try_type.operator()<RandomResizedCrop>();
  try_type.operator()<Resize>();
  try_type.operator()<CenterCrop>();
  try_type.operator()<RandomCrop>();
  try_type.operator()<Pad>();
  try_type.operator()<PadTo>();
  try_type.operator()<LetterBox>();
  try_type.operator()<RandomHorizontalFlip>();
  try_type.operator()<RandomVerticalFlip>();
  if (const auto* normalize = stage.get_if<Normalize>()) validate(*normalize, check, num_channels);
}

}  // namespace muster

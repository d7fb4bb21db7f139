// ToFloat and Normalize: tables of the 256 values, computed as torch computes the whole tensor.
#include "muster/transform.hpp"

namespace muster {

PerChannel::PerChannel(std::span<const double> values) : size_(values.size()) {
  if (size_ != 1 && size_ != 3) {
    throw ConfigError("per channel", "expected one value, or three for RGB, received " + std::to_string(size_));
  }
  std::copy(values.begin(), values.end(), values_.begin());
}

std::array<float, 256> ToFloat::table(int) const {
  std::array<float, 256> floats{};
  for (std::size_t value = 0; value < floats.size(); ++value) floats[value] = static_cast<float>(value) / 255.0f;
  return floats;
}

std::array<float, 256> Normalize::table(int channel) const {
  const auto channel_mean = static_cast<float>(mean[static_cast<std::size_t>(channel)]);
  const auto channel_stddev = static_cast<float>(stddev[static_cast<std::size_t>(channel)]);
  std::array<float, 256> floats = ToFloat{}.table(channel);
  for (float& value : floats) value = (value - channel_mean) / channel_stddev;
  return floats;
}

}  // namespace muster

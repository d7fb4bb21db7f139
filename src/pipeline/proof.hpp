// The shape proof: every size that an image may have comes out as one.
#pragma once

#include <vector>

#include "muster/pipeline.hpp"

namespace muster {

/// Of an image that is only described. In pixels.
inline constexpr std::int64_t largest_side = std::int64_t{1} << 40;

/// Walks the stages with the extent of all sizes. Throws OpenSizeError when the final size is open, ConfigError when a
/// stage cannot take a size that may reach it, or contradicts itself; the message holds sizes that were
/// really sent through the stages, or says "not provable".
ShapeProof prove(const std::vector<Stage>& stages, int num_channels);

/// "RandomCrop(size=[224,224], pad_if_needed=true)": what differs from the defaults. Users' stages: the name.
std::string describe(const Stage& stage);

/// Throws ConfigError for parameters out of range, with what is allowed.
void validate(const Stage& stage, int num_channels);

/// "stage 2 RandomCrop"; stages count from 1 in messages.
std::string stage_name(const std::vector<Stage>& stages, std::size_t index);

}  // namespace muster

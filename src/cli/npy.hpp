// NumPy's file format, version 1.0.
#pragma once

#include <filesystem>
#include <string>

#include "muster/tensor.hpp"

namespace muster::cli {

/// Magic, version and description, padded so that the data starts at a multiple of 64. bfloat16, which NumPy does
/// not know, is described as its 16 bits ('<u2').
std::string npy_header(DType dtype, const Shape& shape);

/// Throws std::system_error naming the path; an existing file is replaced as a whole or stays as it was. `synced`: the
/// content is on the disk before it takes the name.
void write_npy(const std::filesystem::path& path, const Tensor& tensor, bool synced = false);

}  // namespace muster::cli

// libtorch: batches as torch::Tensors, without a copy. Needs libtorch's headers; the library muster does not.
#pragma once

#include <torch/torch.h>

#include <string>
#include <utility>

#include "muster/batch.hpp"
#include "muster/tensor.hpp"

namespace muster {

inline torch::ScalarType torch_dtype(DType dtype) {
  switch (dtype) {
    case DType::uint8:
      return torch::kUInt8;
    case DType::float16:
      return torch::kFloat16;
    case DType::bfloat16:
      return torch::kBFloat16;
    case DType::float32:
      return torch::kFloat32;
    case DType::int64:
      return torch::kInt64;
  }
  throw ConfigError("to_torch",
                    "expected one of muster's types, received number " + std::to_string(static_cast<int>(dtype)));
}

/// The same memory, writable, as a torch::Tensor of the same shape. It goes back to the loader's pool when the last
/// tensor and view of it in torch is gone, from any thread, also after the loader is gone. What a batch holds shares
/// one block, which returns with the last of its tensors. Images in Layout::nhwc arrive as {n, height, width,
/// channels}; `.permute({0, 3, 1, 2})` makes of them what torch calls channels_last, still without a copy.
inline torch::Tensor to_torch(Tensor tensor) {
  if (tensor.shape().rank() == 0) {
    throw ConfigError("to_torch", "expected a tensor with a shape, received an empty one: was it moved from?");
  }
  const Shape shape = tensor.shape();
  return torch::from_blob(
      tensor.data(), torch::IntArrayRef(shape.begin(), shape.end()), [memory = tensor.memory()](void*) {},
      torch_dtype(tensor.dtype()));
}

/// A batch's tensors in torch.
struct TorchBatch {
  torch::Tensor images;  // as Batch::images
  torch::Tensor labels;  // int64 {n}; the filler label (-1, unless the loader was told another) where valid is false
  torch::Tensor valid;   // bool {n}: a mask for torch's indexing and where()
};

/// Takes images, labels and mask out of the batch; ids, plans and incidents stay in it.
inline TorchBatch to_torch(Batch&& batch) {
  // The mask's bytes are 0 and 1, which is what torch's bool is made of.
  return {to_torch(std::move(batch.images)), to_torch(std::move(batch.labels)),
          to_torch(std::move(batch.valid)).view(torch::kBool)};
}

}  // namespace muster

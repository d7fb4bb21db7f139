#include "muster/interop/dlpack.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <utility>

namespace muster {
namespace {

using dlpack::TypeCode;

constexpr std::pair<DType, dlpack::DataType> types[] = {{DType::uint8, {TypeCode::unsigned_int, 8, 1}},
                                                        {DType::float16, {TypeCode::floating, 16, 1}},
                                                        {DType::bfloat16, {TypeCode::bfloat, 16, 1}},
                                                        {DType::float32, {TypeCode::floating, 32, 1}},
                                                        {DType::int64, {TypeCode::signed_int, 64, 1}}};

/// What lives from export to deleter.
template <class Managed>
struct Export {
  explicit Export(Tensor&& exported) : tensor(std::move(exported)) {
    std::ranges::copy(tensor.shape(), shape.begin());
    std::int64_t stride = 1;
    for (std::size_t axis = tensor.shape().rank(); axis-- > 0;) {
      strides[axis] = stride;
      stride *= shape[axis];
    }
  }

  Tensor tensor;
  std::array<std::int64_t, Shape::max_rank> shape{};
  std::array<std::int64_t, Shape::max_rank> strides{};
  Managed managed{};
};

template <class Managed>
dlpack::Capsule<Managed> export_tensor(Tensor&& tensor, dlpack::Device device) {
  if (tensor.shape().rank() == 0) {
    throw ConfigError("to_dlpack", "expected a tensor with a shape, received an empty one: was it moved from?");
  }
  auto exported = std::make_unique<Export<Managed>>(std::move(tensor));
  const Tensor& kept = exported->tensor;
  Managed& managed = exported->managed;
  managed.tensor = {.data = kept.size_bytes() == 0 ? nullptr : exported->tensor.data(),
                    .device = device,
                    .num_dimensions = static_cast<std::int32_t>(kept.shape().rank()),
                    .dtype = std::ranges::find(types, kept.dtype(), &std::pair<DType, dlpack::DataType>::first)->second,
                    .shape = exported->shape.data(),
                    .strides = exported->strides.data(),
                    .byte_offset = 0};
  managed.deleter = [](Managed* self) { delete static_cast<Export<Managed>*>(self->context); };
  managed.context = exported.release();
  return dlpack::Capsule<Managed>(&managed);
}

[[noreturn]] void refuse(const std::string& expected, const std::string& received) {
  throw ConfigError("from_dlpack", fmt::format("expected {}, received {}", expected, received));
}

DType dtype_of(const dlpack::DataType& type) {
  const auto* const found = std::ranges::find(types, type, &std::pair<DType, dlpack::DataType>::second);
  if (found == std::end(types)) {
    refuse("uint8, float16, bfloat16, float32 or int64",
           fmt::format("type code {} of {} bits and {} lanes", static_cast<int>(type.code), type.bits, type.lanes));
  }
  return found->first;
}

Shape shape_of(const dlpack::TensorView& view) {
  const std::int64_t* const d = view.shape;
  const std::int32_t rank = view.num_dimensions;
  if (rank < 1 || rank > static_cast<std::int32_t>(Shape::max_rank) || d == nullptr) {
    throw ShapeError("from_dlpack", fmt::format("expected one to {} dimensions, received {}", Shape::max_rank,
                                                d == nullptr && rank > 0 ? "no shape" : std::to_string(rank)));
  }
  if (rank == 1) return {d[0]};
  if (rank == 2) return {d[0], d[1]};
  if (rank == 3) return {d[0], d[1], d[2]};
  return {d[0], d[1], d[2], d[3]};
}

/// Strides of axes with one element are never used; none at all means compact.
void expect_compact(const dlpack::TensorView& view, const Shape& shape) {
  if (view.strides == nullptr || shape.num_elements() == 0) return;
  std::int64_t compact = 1;
  for (std::size_t axis = shape.rank(); axis-- > 0;) {
    if (shape[axis] > 1 && view.strides[axis] != compact) {
      refuse("compact memory in C order (copy it first, as with contiguous())",
             fmt::format("a stride of {} where {} needs {}", view.strides[axis], shape.to_string(), compact));
    }
    compact *= shape[axis];
  }
}

Tensor import_tensor(const std::shared_ptr<void>& owner, const dlpack::TensorView& view) {
  using enum dlpack::DeviceType;
  if (view.device.type != cpu && view.device.type != cuda_host && view.device.type != rocm_host) {
    refuse("memory that the host can reach (copy it there first)",
           fmt::format("memory of device type {}", static_cast<int>(view.device.type)));
  }
  const DType dtype = dtype_of(view.dtype);
  const Shape shape = shape_of(view);
  expect_compact(view, shape);
  void* const data = view.data == nullptr ? nullptr : static_cast<std::byte*>(view.data) + view.byte_offset;
  if (std::bit_cast<std::uintptr_t>(data) % size_bytes(dtype) != 0) {
    refuse(fmt::format("{} aligned to its size", name(dtype)), fmt::format("memory at {}", data));
  }
  return Tensor(dtype, shape, std::shared_ptr<void>(owner, data));
}

template <class Managed>
const dlpack::TensorView& checked(const dlpack::Capsule<Managed>& managed) {
  if (managed == nullptr) refuse("an exported tensor", "a null pointer");
  return managed->tensor;
}

}  // namespace

dlpack::Capsule<dlpack::ManagedTensor> to_dlpack(Tensor&& tensor, dlpack::Device device) {
  return export_tensor<dlpack::ManagedTensor>(std::move(tensor), device);
}

dlpack::Capsule<dlpack::ManagedTensorVersioned> to_dlpack_versioned(Tensor&& tensor, dlpack::Device device) {
  auto managed = export_tensor<dlpack::ManagedTensorVersioned>(std::move(tensor), device);
  managed->version = {.major = 1, .minor = 0};
  return managed;
}

Tensor from_dlpack(dlpack::Capsule<dlpack::ManagedTensor> managed) {
  const dlpack::TensorView& view = checked(managed);
  return import_tensor(std::shared_ptr<dlpack::ManagedTensor>(std::move(managed)), view);
}

Tensor from_dlpack(dlpack::Capsule<dlpack::ManagedTensorVersioned> managed) {
  const dlpack::TensorView& view = checked(managed);
  if (managed->version.major != 1) {
    refuse("a tensor of DLPack 1", fmt::format("one of {}.{}", managed->version.major, managed->version.minor));
  }
  if ((managed->flags & dlpack::read_only_flag) != 0) refuse("memory that may be written to", "read-only memory");
  return import_tensor(std::shared_ptr<dlpack::ManagedTensorVersioned>(std::move(managed)), view);
}

}  // namespace muster

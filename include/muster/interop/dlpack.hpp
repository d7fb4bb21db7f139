// DLPack: tensors handed to another framework, and taken from one, without a copy.
//
//   muster ──to_dlpack(std::move(tensor))──► Capsule ──release_as<DLManagedTensor>()──► any framework
//
// The structures below are those of DLPack 1.0 under names of our own, so that this header lives beside any dlpack.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>

#include "muster/tensor.hpp"

namespace [[gnu::visibility("default")]] muster {
namespace dlpack {

struct Version {
  std::uint32_t major;  // another one lays out differently what follows the flags
  std::uint32_t minor;
};

/// Where memory is. The host can reach the first three.
enum class DeviceType : std::int32_t { cpu = 1, cuda_host = 3, rocm_host = 11, cuda = 2, rocm = 10 };

struct Device {
  DeviceType type = DeviceType::cpu;
  std::int32_t id = 0;
};

enum class TypeCode : std::uint8_t { signed_int = 0, unsigned_int = 1, floating = 2, bfloat = 4 };

struct DataType {
  TypeCode code;
  std::uint8_t bits;
  std::uint16_t lanes;  // 1 unless elements are vectors

  friend bool operator==(const DataType&, const DataType&) = default;
};

/// Elements begin at `data` + `byte_offset`; strides count elements.
struct TensorView {
  void* data;
  Device device;
  std::int32_t num_dimensions;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;
  std::uint64_t byte_offset;
};

/// DLManagedTensor: what frameworks exchanged before 1.0, and still understand.
struct ManagedTensor {
  TensorView tensor;
  void* context;
  void (*deleter)(ManagedTensor* self);  // called once, when the receiver is done; frees `self` too
};

/// DLManagedTensorVersioned.
struct ManagedTensorVersioned {
  Version version;
  void* context;
  void (*deleter)(ManagedTensorVersioned* self);
  std::uint64_t flags;
  TensorView tensor;
};

inline constexpr std::uint64_t read_only_flag = 1;

// Layout on 64-bit machines, as every dlpack.h has it.
static_assert(sizeof(void*) != 8 || (sizeof(TensorView) == 48 && offsetof(TensorView, num_dimensions) == 16 &&
                                     offsetof(TensorView, dtype) == 20 && offsetof(TensorView, shape) == 24 &&
                                     offsetof(TensorView, byte_offset) == 40));
static_assert(sizeof(void*) != 8 || (sizeof(ManagedTensor) == 64 && offsetof(ManagedTensor, deleter) == 56));
static_assert(sizeof(void*) != 8 ||
              (sizeof(ManagedTensorVersioned) == 80 && offsetof(ManagedTensorVersioned, deleter) == 16 &&
               offsetof(ManagedTensorVersioned, flags) == 24 && offsetof(ManagedTensorVersioned, tensor) == 32));

/// What destroys an exported tensor: its own deleter, if it has one.
struct CallDeleter {
  template <class Managed>
  void operator()(Managed* managed) const noexcept {
    if (managed->deleter != nullptr) managed->deleter(managed);
  }
};

/// Owns an exported tensor until it is released to, or was taken over by, somebody who calls the deleter.
template <class Managed>
using Capsule = std::unique_ptr<Managed, CallDeleter>;

/// Releases the capsule as the type that the receiver's dlpack.h declares: DLManagedTensor, DLManagedTensorVersioned.
template <class Foreign, class Managed>
Foreign* release_as(Capsule<Managed> capsule) noexcept {
  static_assert(std::is_standard_layout_v<Foreign> && sizeof(Foreign) == sizeof(Managed) &&
                alignof(Foreign) == alignof(Managed));
  return reinterpret_cast<Foreign*>(capsule.release());
}

/// Takes over what another framework exported, in the types of its dlpack.h.
template <class Managed, class Foreign>
Capsule<Managed> adopt(Foreign* managed) noexcept {
  static_assert(std::is_standard_layout_v<Foreign> && sizeof(Foreign) == sizeof(Managed) &&
                alignof(Foreign) == alignof(Managed));
  return Capsule<Managed>(reinterpret_cast<Managed*>(managed));
}

}  // namespace dlpack

/// Hands the tensor's memory over: writable, compact, C-ordered, aligned as its allocator aligned it. It goes back to
/// the loader's pool when the deleter runs, in any thread, also after the loader is gone. What a batch holds shares one
/// block, which returns with the last of its tensors. `device` says where the allocator's memory is, if not in the
/// plain heap: {cuda_host} for pinned memory. Throws ConfigError for an empty tensor, like one that was moved from.
dlpack::Capsule<dlpack::ManagedTensor> to_dlpack(Tensor&& tensor, dlpack::Device device = {});
/// The same for receivers that know DLPack 1: they see a version, and may tell read-only memory from writable.
dlpack::Capsule<dlpack::ManagedTensorVersioned> to_dlpack_versioned(Tensor&& tensor, dlpack::Device device = {});

/// Takes memory over that the host can reach: compact, C-ordered, of one to four dimensions and one of our types. The
/// deleter runs when the tensor, and whoever shares its memory, is gone. Throws ConfigError or ShapeError for all else,
/// read-only memory and another major version included; the deleter has run then.
Tensor from_dlpack(dlpack::Capsule<dlpack::ManagedTensor> managed);
Tensor from_dlpack(dlpack::Capsule<dlpack::ManagedTensorVersioned> managed);

}  // namespace muster

#include "npy.hpp"

#include <bit>
#include <string_view>

#include <fmt/format.h>

#include "output.hpp"

namespace muster::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "the element types below are little-endian");

std::string_view element_type(DType dtype) {
  switch (dtype) {
    case DType::uint8:
      return "|u1";
    case DType::float16:
      return "<f2";
    case DType::bfloat16:
      return "<u2";
    case DType::float32:
      return "<f4";
    case DType::int64:
      return "<i8";
  }
  return {};
}

}  // namespace

std::string npy_header(DType dtype, const Shape& shape) {
  // A Python tuple: the comma after the last dimension is needed when there is only one.
  std::string dimensions = fmt::format("{}", fmt::join(shape, ", "));
  if (shape.rank() == 1) dimensions += ',';
  std::string description =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", element_type(dtype), dimensions);

  constexpr std::string_view magic{"\x93NUMPY\x01\x00", 8};
  constexpr std::size_t length_bytes = 2;
  const std::size_t unpadded = magic.size() + length_bytes + description.size() + 1;
  description.append((64 - unpadded % 64) % 64, ' ');
  description += '\n';

  std::string header(magic);
  header += static_cast<char>(description.size() & 0xff);
  header += static_cast<char>(description.size() >> 8);
  return header + description;
}

void write_npy(const std::filesystem::path& path, const Tensor& tensor, bool synced) {
  OutputFile file(path);
  file.write(npy_header(tensor.dtype(), tensor.shape()));
  file.write(tensor.bytes());
  if (synced) file.sync();
  file.commit();
}

}  // namespace muster::cli

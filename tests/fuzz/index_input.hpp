// What index_fuzz.cpp reads: a byte that says what follows. A body is what comes behind that which an index must repeat
// of its data set; the target writes that, and the checksum, so that hostile bodies reach the parsers.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace muster::fuzz {

enum class IndexInput : unsigned char { any_file, folder_body, tar_body, compressed_tar_body };

/// The data set's classes, "": its root. In a body `stand_in` with the number of one of them stands for its stamp,
/// which no input can know.
inline constexpr std::array<std::string_view, 4> folders = {"", "a", "a/x", "b"};
inline constexpr std::string_view stand_in = "the stamp of a folder: ";

/// Members of the archive: each has a header of 512 bytes, and its content, its own name, in 512 more.
inline constexpr std::array<std::string_view, 3> members = {"a.jpg", "b.jpg", "b.json"};

}  // namespace muster::fuzz

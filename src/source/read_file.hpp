// Reading a file in pieces, so that a loader that is being destroyed need not wait for a long one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <stop_token>
#include <vector>

#include "muster/source.hpp"
#include "source/file_descriptor.hpp"

namespace muster {

/// Opens a file to be read, whatever it is. Throws SourceError.
FileDescriptor open_to_read(const std::filesystem::path& path);
/// Throws the SourceError of a file that cannot be read for the reason `error`, a value of errno.
[[noreturn]] void refuse_file(const std::filesystem::path& path, int error);

/// read_file() of a file that is open already, and at its beginning. Messages call it `path`.
void read_file(const FileDescriptor& file, const std::filesystem::path& path, std::vector<std::uint8_t>& bytes,
               std::int64_t max_bytes);
/// The same into `sample.bytes`; announces the file's length to `sample` before they grow. Throws SourceError "stopped"
/// soon after `stop` is requested.
void read_file(const FileDescriptor& file, const std::filesystem::path& path, Sample& sample, std::int64_t max_bytes,
               const std::stop_token& stop);

}  // namespace muster

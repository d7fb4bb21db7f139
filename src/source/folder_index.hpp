// The index of an image folder: its walk in a file, and whether that still is what a walk would find.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "source/folder_walk.hpp"

namespace muster {

/// The walk of `root` (canonical) as `index` has it. Nothing if there is no such file, if it is damaged, of another
/// root or for other extensions, or if any folder was changed or any link leads elsewhere since; also if a folder was
/// changed so shortly before the walk that a later change may not show. Throws SourceError if `index` lies in the root,
/// where writing it would change the root, or is there and something else than an index.
std::optional<FolderTree> read_folder_index(const std::filesystem::path& index, const std::filesystem::path& root,
                                            const std::vector<std::string>& extensions);

/// Replaces `index` at once: who reads it meanwhile finds the old one or the new one. Throws SourceError.
void write_folder_index(const std::filesystem::path& index, const FolderTree& tree,
                        const std::vector<std::string>& extensions);

}  // namespace muster

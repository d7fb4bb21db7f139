#include "source/folder_index.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <system_error>
#include <unordered_set>

#include "muster/error.hpp"
#include "source/in_parallel.hpp"
#include "source/index_file.hpp"
#include "source/root_folder.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;

// The body: time of the walk, root, extensions, stamp of the root, images in the root, links skipped, links, folders;
// a list is its length and its items.
constexpr std::string_view magic = "muster folder index 1\n";

constexpr auto expect = IndexReader::expect;

void write_stamp(IndexWriter& writer, const FolderStamp& stamp) {
  writer.number(stamp.inode);
  writer.number(static_cast<std::uint64_t>(stamp.modified_ns));
  writer.number(static_cast<std::uint64_t>(stamp.status_changed_ns));
}

FolderStamp read_stamp(IndexReader& reader) {
  FolderStamp stamp;
  stamp.inode = reader.number();
  stamp.modified_ns = static_cast<std::int64_t>(reader.number());
  stamp.status_changed_ns = static_cast<std::int64_t>(reader.number());
  return stamp;
}

void write_link(IndexWriter& writer, const WalkedLink& link) {
  writer.text(link.path);
  writer.text(link.target);
  writer.number(link.is_folder ? 1 : 0);
}

WalkedLink read_link(IndexReader& reader) {
  WalkedLink link;
  link.path = reader.text();
  link.target = reader.text();
  link.is_folder = reader.number() != 0;
  return link;
}

void write_folder(IndexWriter& writer, const WalkedFolder& folder) {
  writer.text(folder.path);
  write_stamp(writer, folder.stamp);
  writer.text({reinterpret_cast<const char*>(folder.lengths.data()), folder.lengths.size() * sizeof(std::uint16_t)});
  writer.text(folder.names);
}

WalkedFolder read_folder(IndexReader& reader) {
  WalkedFolder folder;
  folder.path = reader.text();
  folder.stamp = read_stamp(reader);
  const std::string_view lengths = reader.text();
  expect(lengths.size() % sizeof(std::uint16_t) == 0);
  folder.lengths.resize(lengths.size() / sizeof(std::uint16_t));
  if (!lengths.empty()) std::memcpy(folder.lengths.data(), lengths.data(), lengths.size());
  folder.names = reader.text();
  return folder;
}

/// True for what can be the name of an entry.
bool is_entry_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == name.npos && name.find('\0') == name.npos;
}

/// Throws DamagedIndex unless the folders are in order, each in one that is there too, and the names of its images as
/// well: so no name leads out of the root, and none comes twice.
void expect_sound(const std::vector<WalkedFolder>& folders) {
  std::unordered_set<std::string_view> paths;
  std::string_view last_class;
  std::string_view last_path;
  for (const WalkedFolder& folder : folders) {
    const std::string_view path = folder.path;
    const std::size_t slash = path.rfind('/');
    if (slash == path.npos) {
      expect(is_entry_name(path) && path > last_class);
      last_class = path;
    } else {
      expect(is_entry_name(path.substr(slash + 1)) && path > last_path && paths.contains(path.substr(0, slash)) &&
             path.substr(0, path.find('/')) == last_class);
    }
    last_path = path;
    paths.insert(path);

    std::string_view names = folder.names;
    std::string_view last_name;
    for (const std::size_t length : folder.lengths) {
      expect(length <= names.size());
      const std::string_view name = names.substr(0, length);
      expect(is_entry_name(name) && name > last_name);
      last_name = name;
      names.remove_prefix(length);
    }
    expect(names.empty());
  }
}

FolderTree parse(std::string_view body, const fs::path& root, const std::vector<std::string>& extensions) {
  IndexReader reader(body);
  FolderTree tree;
  tree.walked_at_ns = static_cast<std::int64_t>(reader.number());
  tree.root = reader.text();
  expect(tree.root.native() == root.native());
  expect(reader.number() == extensions.size());
  for (const std::string& extension : extensions) expect(reader.text() == extension);
  tree.root_stamp = read_stamp(reader);
  tree.num_root_images = reader.number();
  tree.num_links_skipped = reader.number();
  for (std::uint64_t left = reader.number(); left > 0; --left) tree.links.push_back(read_link(reader));
  for (std::uint64_t left = reader.number(); left > 0; --left) tree.folders.push_back(read_folder(reader));
  reader.expect_end();
  expect_sound(tree.folders);
  return tree;
}

/// Throws DamagedIndex unless a walk would find the same.
void expect_current(const FolderTree& tree) {
  // As coarse as any clock of a file system: what changes twice within it may bear the same time.
  constexpr std::int64_t tick_ns = 2'000'000'000;
  expect(tree.walked_at_ns > tick_ns);
  const auto expect_unchanged = [&](const fs::path& folder, const FolderStamp& stamp) {
    // A time of modification may have been set back; that of the status was not.
    const std::int64_t changed_ns = std::max(stamp.modified_ns, stamp.status_changed_ns);
    expect(changed_ns <= tree.walked_at_ns - tick_ns && stamp_of(folder) == stamp);
  };
  expect_unchanged(tree.root, tree.root_stamp);
  in_parallel(tree.folders.size(), [&](std::size_t i) {
    const fs::path folder = tree.root / tree.folders[i].path;
    expect_unchanged(folder, tree.folders[i].stamp);
    expect(is_within(tree.root, fs::canonical(folder)));
  });
  in_parallel(tree.links.size(),
              [&](std::size_t i) { expect(resolve_link(tree.root, tree.links[i].path) == tree.links[i]); });
}

}  // namespace

std::optional<FolderTree> read_folder_index(const fs::path& index, const fs::path& root,
                                            const std::vector<std::string>& extensions) {
  std::error_code error;
  const fs::path folder = fs::canonical(index.has_parent_path() ? index.parent_path() : ".", error);
  if (!error && is_within(root, folder)) {
    throw SourceError("image folder",
                      fmt::format("expected an index outside of the folder that it lists, received {}; writing it "
                                  "would change that folder: put it beside",
                                  index.native()));
  }
  constexpr std::int64_t max_bytes = std::int64_t{1} << 36;
  const std::optional<IndexFile> file = IndexFile::read(index, magic, max_bytes);
  if (!file) {
    IndexFile::expect_replaceable(index, magic);  // before the walk, which may take long
    return std::nullopt;
  }
  try {
    FolderTree tree = parse(file->body(), root, extensions);
    expect_current(tree);
    return tree;
  } catch (const DamagedIndex&) {
    return std::nullopt;
  } catch (const std::system_error&) {  // a folder is gone
    return std::nullopt;
  }
}

void write_folder_index(const fs::path& index, const FolderTree& tree, const std::vector<std::string>& extensions) {
  IndexWriter body;
  body.number(static_cast<std::uint64_t>(tree.walked_at_ns));
  body.text(tree.root.native());
  body.number(extensions.size());
  for (const std::string& extension : extensions) body.text(extension);
  write_stamp(body, tree.root_stamp);
  body.number(tree.num_root_images);
  body.number(tree.num_links_skipped);
  body.number(tree.links.size());
  for (const WalkedLink& link : tree.links) write_link(body, link);
  body.number(tree.folders.size());
  for (const WalkedFolder& folder : tree.folders) write_folder(body, folder);
  IndexFile::write(index, magic, body.bytes());
}

}  // namespace muster

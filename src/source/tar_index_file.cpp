#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "muster/error.hpp"
#include "source/index_file.hpp"
#include "source/tar_index.hpp"

namespace muster {
namespace {

constexpr std::string_view magic = "muster tar index 1\n";

/// An index is shorter than its archive, whose headers alone have 512 bytes for each member, unless that is compressed.
std::int64_t max_file_bytes(const ByteStore& store) {
  constexpr std::uint64_t most = std::uint64_t{1} << 36;
  return static_cast<std::int64_t>(std::min(store.size(), most) * 64 + (std::uint64_t{1} << 20));
}

/// True if the extents lie one behind the other, and before `end`.
bool ascend(const std::vector<ByteExtent>& extents, std::uint64_t end) {
  std::uint64_t begin = 0;
  return std::all_of(extents.begin(), extents.end(), [&](const ByteExtent& extent) {
    if (extent.offset < begin || extent.offset > end || extent.size > end - extent.offset) return false;
    begin = extent.offset + extent.size;
    return true;
  });
}

TarIndex parse(std::string_view body, const ByteStore& store, const std::string& path,
               const std::vector<std::string>& extensions) {
  IndexReader reader(body);
  const auto expect = IndexReader::expect;
  expect(reader.text() == store.version());
  expect(reader.number() == extensions.size());
  for (const std::string& extension : extensions) expect(reader.text() == extension);

  TarIndex index;
  index.is_compressed = reader.number() != 0;
  const std::uint64_t archive_end =
      index.is_compressed ? std::uint64_t{std::numeric_limits<std::int64_t>::max()} : store.size();
  const std::uint64_t num_samples = reader.number();
  index.samples.names = reader.text();
  index.samples.ends = reader.items<std::uint64_t>(num_samples);
  index.samples.labels = reader.items<std::int64_t>(num_samples);
  expect(std::is_sorted(index.samples.ends.begin(), index.samples.ends.end()) &&
         (num_samples == 0 ? 0 : index.samples.ends.back()) == index.samples.names.size());
  index.images = reader.items<ByteExtent>(num_samples);
  expect(ascend(index.images, archive_end));

  const std::uint64_t num_metadata = reader.number();
  expect(num_metadata == 0 || num_metadata == num_samples);
  index.metadata = reader.items<ByteExtent>(num_metadata);
  index.metadata_text = reader.text();
  const std::uint64_t metadata_end = index.is_compressed ? index.metadata_text.size() : archive_end;
  expect(std::all_of(index.metadata.begin(), index.metadata.end(), [&](const ByteExtent& extent) {
    return extent.size <= max_metadata_bytes && extent.offset <= metadata_end &&
           extent.size <= metadata_end - extent.offset;
  }));

  for (std::uint64_t left = reader.number(); left > 0; --left) {
    ListingFault& fault = index.faults.emplace_back();
    fault.path = path;
    const bool has_offset = reader.number() != 0;
    const std::uint64_t offset = reader.number();
    if (has_offset) fault.byte_offset = offset;
    fault.message = reader.text();
  }
  reader.expect_end();
  return index;
}

}  // namespace

std::optional<TarIndex> load_index(const std::filesystem::path& file, const ByteStore& store, const std::string& path,
                                   const std::vector<std::string>& extensions) {
  const std::optional<IndexFile> kept = IndexFile::read(file, magic, max_file_bytes(store));
  if (!kept) return std::nullopt;
  try {
    return parse(kept->body(), store, path, extensions);
  } catch (const DamagedIndex&) {
    return std::nullopt;
  }
}

void save_index(const std::filesystem::path& file, const TarIndex& index, const ByteStore& store,
                const std::vector<std::string>& extensions) {
  IndexWriter writer;
  writer.text(store.version());
  writer.number(extensions.size());
  for (const std::string& extension : extensions) writer.text(extension);
  writer.number(index.is_compressed ? 1 : 0);
  writer.number(index.samples.size());
  writer.text(index.samples.names);
  writer.items(index.samples.ends);
  writer.items(index.samples.labels);
  writer.items(index.images);
  writer.number(index.metadata.size());
  writer.items(index.metadata);
  writer.text(index.metadata_text);
  writer.number(index.faults.size());
  for (const ListingFault& fault : index.faults) {
    writer.number(fault.byte_offset ? 1 : 0);
    writer.number(fault.byte_offset.value_or(0));
    writer.text(fault.message);
  }
  if (writer.bytes().size() >= static_cast<std::uint64_t>(max_file_bytes(store))) {
    throw SourceError("index",
                      fmt::format("expected an index of less than {} bytes, received {} for {}; it is not kept",
                                  max_file_bytes(store), writer.bytes().size(), file.native()));
  }
  IndexFile::write(file, magic, writer.bytes());
}

}  // namespace muster

// Indexes of folders and archives: one that is believed names nothing outside of its data set.
#include "index_input.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "fuzz.hpp"
#include "muster/files.hpp"
#include "muster/tar.hpp"
#include "source/folder_index.hpp"
#include "source/hash.hpp"
#include "source/index_file.hpp"
#include "source/tar_index.hpp"

using namespace muster;
using namespace muster::fuzz;

namespace {

namespace fs = std::filesystem;

const std::vector<std::string> extensions = {".jpg"};
constexpr std::int64_t hour_ns = 3'600'000'000'000;

/// A member that is called, and holds, `name`.
std::string tar_member(std::string_view name) {
  std::string header(512, '\0');
  const auto put = [&](std::size_t at, std::string_view text) { text.copy(header.data() + at, text.size()); };
  put(0, name);
  put(100, "0000644");
  std::array<char, 12> octal{};
  std::snprintf(octal.data(), octal.size(), "%011zo", name.size());
  put(124, octal.data());
  put(136, "00000000000");
  put(148, "        0");
  put(257, "ustar");
  put(263, "00");
  unsigned sum = 0;
  for (const char c : header) sum += static_cast<unsigned char>(c);
  std::snprintf(octal.data(), octal.size(), "%06o", sum);
  put(148, octal.data());
  header[154] = '\0';
  std::string content(name);
  content.resize(512);
  return header + content;
}

/// `bytes`, fewer than 64 KiB, as gzip writes what it cannot compress.
std::string gzipped(const std::string& bytes) {
  const auto number = [](std::uint64_t value, int num_bytes) {
    std::string text;
    for (int i = 0; i < num_bytes; ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
    return text;
  };
  return std::string("\x1f\x8b\x08\0\0\0\0\0\0\xff\x01", 11) + number(bytes.size(), 2) + number(~bytes.size(), 2) +
         bytes + number(test::crc32(std::span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size())), 4) +
         number(bytes.size(), 4);
}

/// What the indexes are of, made once.
struct DataSets {
  DataSets() {
    for (const std::string_view folder : folders) {
      if (!folder.empty()) test::write_file(root / folder / "1.jpg", std::string(folder));
    }
    fs::create_symlink("nowhere", root / "b/broken.jpg");
    test::write_file(dir.path() / "secret.jpg", std::string("secret"));
    std::string tar;
    for (const std::string_view member : members) tar += tar_member(member);
    tar.resize(tar.size() + 1024);
    test::write_file(plain, tar);
    test::write_file(compressed, gzipped(tar));
  }

  test::TempDir dir;
  fs::path root = fs::canonical(dir.path()) / "root";
  fs::path plain = dir.path() / "plain.tar";
  fs::path compressed = dir.path() / "compressed.tar.gz";
  fs::path index = dir.path() / "folder.index";
};

/// An index with the checksum that it ought to have.
std::string file_of_body(std::string_view magic, const std::string& body) {
  ContentHash hash;
  hash.add(body);
  IndexWriter checksum;
  checksum.number(hash.value());
  return std::string(magic) + checksum.bytes() + body;
}

void write_extensions(IndexWriter& writer) {
  writer.number(extensions.size());
  for (const std::string& extension : extensions) writer.text(extension);
}

std::string folder_file(const DataSets& data, std::string body) {
  for (std::size_t at = body.find(stand_in); at != body.npos; at = body.find(stand_in, at + 1)) {
    if (at + sizeof(FolderStamp) > body.size()) break;
    const std::size_t number = static_cast<unsigned char>(body[at + stand_in.size()]) - std::size_t{'0'};
    if (number >= folders.size()) continue;
    const FolderStamp stamp = stamp_of(data.root / folders[number]);
    std::memcpy(body.data() + at, &stamp, sizeof stamp);
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  IndexWriter writer;
  writer.number(static_cast<std::uint64_t>(std::chrono::nanoseconds(now).count() + hour_ns));
  writer.text(data.root.native());
  write_extensions(writer);
  return file_of_body("muster folder index 1\n", writer.bytes() + body);
}

std::string tar_file(const fs::path& archive, const std::string& body) {
  IndexWriter writer;
  writer.text(open_file(archive)->version());
  write_extensions(writer);
  return file_of_body("muster tar index 1\n", writer.bytes() + body);
}

void read_folder(const DataSets& data, const std::string& file) {
  test::write_file(data.index, file);
  std::optional<FolderTree> tree;
  if (!accepts([&] { tree = read_folder_index(data.index, data.root, extensions); }) || !tree) return;
  claim(tree->folders.size() < folders.size(), "only folders that are there are believed");
  accepts([&] {
    const ImageFolder folder(data.root, {.extensions = extensions, .allow_empty_classes = true, .index = data.index});
    claim(folder.from_index(), "an index that was believed is believed again");
    Sample sample;
    for (std::uint64_t id = 0; id < folder.size(); ++id) {
      const std::string name = folder.name(id);
      claim(!name.empty() && ("/" + name + "/").find("/../") == name.npos && name[0] != '/', "a name leads down");
      const std::int64_t label = folder.label(id);
      claim(label >= 0 && label < std::ssize(folder.classes()), "a label names a class");
      if (accepts([&] { folder.read(id, sample, {}); })) {
        claim(name == std::string(sample.bytes.begin(), sample.bytes.end()) + "/1.jpg", "only what is there is read");
      }
    }
  });
}

void read_tar(const fs::path& archive, const std::string& file) {
  const fs::path index = archive.native() + ".index";
  test::write_file(index, file);
  const auto store = open_file(archive);
  const std::optional<TarIndex> kept = load_index(index, *store, archive, extensions);
  if (!kept) return;
  claim(kept->samples.size() <= file.size() / 8, "a sample takes some bytes of the index");
  const TarOptions options{.extensions = extensions,
                           .keep_index = true,
                           .shuffle_buffer = 2,
                           .max_bytes = 1 << 20,
                           .max_listing_bytes = 1 << 20};
  accepts([&] {
    const TarSource source({archive.native()}, options);
    Sample sample;
    for (std::uint64_t id = 0; id < std::min<std::uint64_t>(source.size(), 64); ++id) {
      accepts([&] { static_cast<void>(source.metadata(id)); });
      sample.clear();
      if (accepts([&] { source.read(id, sample, {}); })) claim(sample.bytes.size() <= 8192, "what is read is there");
    }
    static_cast<void>(source.faults());
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const DataSets sets;
  if (size == 0) return 0;
  const std::string rest(text_of(data + 1, size - 1));
  switch (static_cast<IndexInput>(data[0] % 4)) {
    case IndexInput::any_file:
      read_folder(sets, rest);
      read_tar(sets.plain, rest);
      break;
    case IndexInput::folder_body:
      read_folder(sets, folder_file(sets, rest));
      break;
    case IndexInput::tar_body:
      read_tar(sets.plain, tar_file(sets.plain, rest));
      break;
    case IndexInput::compressed_tar_body:
      read_tar(sets.compressed, tar_file(sets.compressed, rest));
      break;
  }
  return 0;
}

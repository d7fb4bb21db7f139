#include "muster/tar.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "loader_support.hpp"
#include "muster/error.hpp"
#include "source/byte_store.hpp"
#include "source/index_file.hpp"
#include "source/tar_index.hpp"
#include "source/tar_stream.hpp"
#include "support.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;
using test::message_of;
using test::TempDir;

const std::vector<std::string> extensions = {".jpg", ".png"};

struct Member {
  std::string path;
  std::string data;
  mode_t type = AE_IFREG;
  std::string link = {};  // to another member
};

/// Writes an archive with libarchive. `format` and `filter` are its names for them.
void write_tar(const fs::path& path, const std::vector<Member>& members, const char* format = "ustar",
               const char* filter = "none") {
  ::archive* const archive = archive_write_new();
  bool is_well = archive_write_set_format_by_name(archive, format) == ARCHIVE_OK &&
                 (filter == std::string("none") || archive_write_add_filter_by_name(archive, filter) == ARCHIVE_OK) &&
                 archive_write_open_filename(archive, path.c_str()) == ARCHIVE_OK;
  for (const Member& member : members) {
    archive_entry* const entry = archive_entry_new();
    archive_entry_set_pathname(entry, member.path.c_str());
    archive_entry_set_filetype(entry, member.type);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_size(entry, static_cast<la_int64_t>(member.data.size()));
    if (!member.link.empty() && member.type == AE_IFLNK) archive_entry_set_symlink(entry, member.link.c_str());
    if (!member.link.empty() && member.type != AE_IFLNK) archive_entry_set_hardlink(entry, member.link.c_str());
    is_well = is_well && archive_write_header(archive, entry) >= ARCHIVE_WARN;
    is_well = is_well && archive_write_data(archive, member.data.data(), member.data.size()) ==
                             static_cast<la_ssize_t>(member.data.size());
    archive_entry_free(entry);
  }
  is_well = is_well && archive_write_close(archive) == ARCHIVE_OK;
  const std::string message = archive_error_string(archive) == nullptr ? "" : archive_error_string(archive);
  archive_write_free(archive);
  if (!is_well) throw std::runtime_error("cannot write " + path.string() + ": " + message);
}

/// Bytes that differ from sample to sample and do not compress away.
std::string image_data(std::uint64_t i, std::size_t num_bytes) {
  std::mt19937 random(static_cast<std::uint32_t>(i) + 1);
  std::string data(num_bytes, '\0');
  for (char& c : data) c = static_cast<char>(random());
  return data;
}

std::string key(std::uint64_t i) { return fmt::format("n{:02}/{:05}", i / 10, i); }
std::int64_t label_of(std::uint64_t i) { return static_cast<std::int64_t>(7 * i) - 3; }
std::size_t size_of(std::uint64_t i) { return static_cast<std::size_t>(i * 379 % 1700); }

/// Samples `begin` to `end`, each of three members.
std::vector<Member> shard(std::uint64_t begin, std::uint64_t end) {
  std::vector<Member> members;
  for (std::uint64_t i = begin; i < end; ++i) {
    members.push_back({key(i) + ".jpg", image_data(i, size_of(i))});
    members.push_back({key(i) + ".cls", std::to_string(label_of(i)) + "\n"});
    members.push_back({key(i) + ".json", fmt::format("{{\"number\":{}}}", i)});
  }
  return members;
}

struct ShardFile {
  explicit ShardFile(const std::vector<Member>& members, const char* format = "ustar", const char* filter = "none") {
    write_tar(path, members, format, filter);
  }
  TempDir dir;
  std::string path = (dir.path() / "shard.tar").string();
  TarSource source(TarOptions options = {}) const { return TarSource({path}, std::move(options)); }
};

std::string data_of(const Source& source, std::uint64_t id, const std::stop_token& stop = {}) {
  Sample sample;
  source.read(id, sample, stop);
  return {sample.bytes.begin(), sample.bytes.end()};
}

/// True if sample `id` is sample `i` of shard().
bool is_sample(const TarSource& source, std::uint64_t id, std::uint64_t i) {
  Sample sample;
  source.read(id, sample, {});
  return source.name(id) == "shard.tar/" + key(i) + ".jpg" && source.label(id) == label_of(i) &&
         sample.label == label_of(i) && source.metadata(id) == fmt::format("{{\"number\":{}}}", i) &&
         std::string(sample.bytes.begin(), sample.bytes.end()) == image_data(i, size_of(i));
}

std::vector<std::string> names_of(const Source& source) {
  std::vector<std::string> names;
  for (std::uint64_t id = 0; id < source.size(); ++id) names.push_back(source.name(id));
  return names;
}

std::string faults_of(const Source& source) {
  std::string text;
  for (const ListingFault& fault : source.faults()) {
    text += fmt::format("{}@{}: {}\n", fs::path(fault.path).filename().string(),
                        fault.byte_offset ? std::to_string(*fault.byte_offset) : "-", fault.message);
  }
  return text;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void flip(const std::string& path, std::size_t offset, std::uint8_t bits) {
  std::vector<std::uint8_t> bytes = test::read_bytes(path);
  bytes.at(offset) ^= bits;
  test::write_file(path, bytes);
}

std::size_t num_open_files() {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

/// True if this thread of ours waits for something.
bool is_asleep(pid_t thread) {
  std::ifstream file(fmt::format("/proc/self/task/{}/stat", thread));
  const std::string stat{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  return stat.substr(stat.rfind(')') + 1).starts_with(" S");
}

/// Bytes in memory that count what is read of them, and can be made to block.
class MemoryStore : public ByteStore {
 public:
  explicit MemoryStore(std::vector<std::uint8_t> bytes) : bytes_(std::move(bytes)) {}

  std::uint64_t size() const noexcept override { return bytes_.size(); }
  std::string version() const override { return "1"; }
  void read(std::uint64_t offset, std::span<std::uint8_t> into, const std::stop_token& stop) const override {
    ++num_reads;
    num_bytes_read += into.size();
    if (before_read) before_read();
    if (stop.stop_requested()) throw SourceError("read", "stopped");
    if (offset > bytes_.size() || into.size() > bytes_.size() - offset) throw SourceError("read", "outside");
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset), into.size(), into.begin());
  }

  mutable std::atomic<std::uint64_t> num_reads = 0;
  mutable std::atomic<std::uint64_t> num_bytes_read = 0;
  std::function<void()> before_read;

 private:
  std::vector<std::uint8_t> bytes_;
};

/// A compressed archive of samples 0 to `num_samples` in memory.
struct StreamedShard {
  explicit StreamedShard(std::uint64_t num_samples) {
    const ShardFile file(shard(0, num_samples), "ustar", "gzip");
    store = std::make_shared<MemoryStore>(test::read_bytes(file.path));
    archive.path = "shard.tar.gz";
    archive.store = store;
    archive.index = index_archive(*store, archive.path, extensions, BlockSizes::for_files());
    store->num_bytes_read = 0;
  }
  std::shared_ptr<MemoryStore> store;
  TarArchive archive;
};

/// Ids of an epoch, permuted within consecutive blocks.
std::vector<std::uint64_t> block_shuffled(std::uint64_t num_samples, std::uint64_t block, std::uint32_t seed) {
  std::vector<std::uint64_t> ids(num_samples);
  std::iota(ids.begin(), ids.end(), 0u);
  std::mt19937 random(seed);
  for (std::uint64_t begin = 0; begin < num_samples; begin += block) {
    std::shuffle(ids.begin() + static_cast<std::ptrdiff_t>(begin),
                 ids.begin() + static_cast<std::ptrdiff_t>(std::min(begin + block, num_samples)), random);
  }
  return ids;
}

/// Calls work(i) for every i < count from `num_threads` threads, which take the next i in turn. True if all were true.
bool all_in_threads(int num_threads, std::size_t count, const std::function<bool(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::atomic<bool> is_well = true;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < num_threads; ++t) {
      threads.emplace_back([&] {
        try {
          for (std::size_t i = next++; i < count; i = next++) {
            if (!work(i)) is_well = false;
          }
        } catch (...) {
          is_well = false;
        }
      });
    }
  }
  return is_well;
}

}  // namespace

TEST_CASE("tar: every format and compression gives the same samples, labels and metadata, in the archive's order") {
  std::vector<Member> members = shard(0, 25);
  for (const char* format : {"ustar", "pax", "paxr", "gnutar", "v7tar"}) {
    for (const char* filter : {"none", "gzip", "bzip2", "xz", "zstd"}) {
      CAPTURE(std::string(format));
      CAPTURE(std::string(filter));
      const ShardFile file(members, format, filter);
      const TarSource source = file.source();
      CHECK(faults_of(source) == "");
      REQUIRE(source.size() == 25);
      for (std::uint64_t id = 0; id < 25; ++id) CHECK(is_sample(source, id, id));
      CHECK(source.random_access() == (std::string(filter) == "none"));
      CHECK(source.shuffle_block() == (source.random_access() ? 0u : 1000u));
      CHECK(source.classes().empty());
    }
  }
}

TEST_CASE("tar: long names, and names that are not ASCII, are taken byte by byte") {
  const std::string longest = std::string(90, 'a') + "/" + std::string(220, 'b') + ".jpg";
  const std::string umlaut = "\xc3\xa4/\xe6\x97\xa5.jpg";
  for (const char* format : {"pax", "gnutar"}) {
    for (const char* filter : {"none", "zstd"}) {
      CAPTURE(std::string(format));
      const ShardFile file({{longest, "long"}, {umlaut, "umlaut"}, {"z.jpg", "z"}}, format, filter);
      const TarSource source = file.source();
      CHECK(names_of(source) ==
            std::vector<std::string>{"shard.tar/" + longest, "shard.tar/" + umlaut, "shard.tar/z.jpg"});
      CHECK(data_of(source, 0) == "long");
      CHECK(data_of(source, 1) == "umlaut");
      CHECK(data_of(source, 2) == "z");
    }
  }
  const std::string split = std::string(140, 'a') + "/" + std::string(90, 'b') + ".jpg";
  CHECK(ShardFile({{split, "1"}}).source().name(0) == "shard.tar/" + split);
}

TEST_CASE("tar: many archives follow each other; names carry the archive's") {
  const TempDir dir;
  std::vector<std::string> paths;
  for (std::uint64_t i = 0; i < 40; ++i) {
    paths.push_back((dir.path() / fmt::format("s{}.tar", i)).string());
    write_tar(paths.back(), shard(10 * i, 10 * i + i % 4), "pax", i % 3 == 0 ? "gzip" : "none");
  }
  const TarSource source(paths);
  std::uint64_t id = 0;
  for (std::uint64_t i = 0; i < 40; ++i) {
    for (std::uint64_t k = 10 * i; k < 10 * i + i % 4; ++k, ++id) {
      CHECK(source.name(id) == fmt::format("s{}.tar/{}.jpg", i, key(k)));
      CHECK(source.label(id) == label_of(k));
      CHECK(data_of(source, id) == image_data(k, size_of(k)));
    }
  }
  CHECK(source.size() == id);
  CHECK(source.faults().size() == 10);  // those without a sample
  CHECK(has(faults_of(source), "s4.tar@-: not one sample among 0 members"));
  CHECK_THROWS_AS(source.name(id), SourceError);
  CHECK_THROWS_AS(source.label(id), SourceError);
  CHECK_THROWS_AS(data_of(source, id), SourceError);
}

TEST_CASE("tar: archives of the same file name are told apart by their paths") {
  const TempDir dir;
  fs::create_directories(dir.path() / "a");
  const std::string first = (dir.path() / "x.tar").string(), second = (dir.path() / "a/x.tar").string();
  write_tar(first, {{"1.jpg", "1"}});
  write_tar(second, {{"1.jpg", "2"}});
  CHECK(names_of(TarSource({first, second})) == std::vector<std::string>{first + "/1.jpg", second + "/1.jpg"});
}

TEST_CASE("tar: members group by the path up to the first dot of its last part") {
  const ShardFile file({{"a.b/1.jpg", "1"},
                        {"a.b/1.seg.png", "mask"},
                        {"a.b/1.txt", "text"},
                        {"a.b/1.CLS", " 4\t\r\n"},
                        {"a.b", "", AE_IFDIR},
                        {"a.b/2.cls", "5"},
                        {"a.b/2.PNG", "2"},
                        {".3.jpg", "no key"},
                        {"a.b/.jpg", "no key"},
                        {"jpg", "no extension"},
                        {"4.jpg", "4"},
                        {"5.txt", "only text"}});
  const TarSource source = file.source();
  CHECK(names_of(source) == std::vector<std::string>{"shard.tar/a.b/1.jpg", "shard.tar/a.b/2.PNG", "shard.tar/4.jpg"});
  CHECK(source.label(0) == 4);
  CHECK(source.label(1) == 5);
  CHECK(source.label(2) == 0);
  CHECK(source.metadata(0).empty());
  CHECK(faults_of(source) == "");
}

TEST_CASE("tar: what is no whole sample is a fault, with the byte where it lies") {
  const ShardFile file({{"good.jpg", "1"},                    // 0
                        {"two.jpg", "2"},                     // 1024
                        {"two.png", "3"},                     // 2048
                        {"lone.cls", "4"},                    // 3072
                        {"bare.json", "{}"},                  // 4096
                        {"word.jpg", "5"},                    // 5120
                        {"word.cls", "cat"},                  // 6144
                        {"float.cls", "1.5"},                 // 7168
                        {"float.jpg", "6"},                   // 8192
                        {"wide.jpg", "7"},                    // 9216
                        {"wide.cls", "9223372036854775808"},  // 10240
                        {"long.jpg", "8"},                    // 11264
                        {"long.cls", std::string(65, ' ')},   // 12288
                        {"void.jpg", "9"},                    // 13312
                        {"void.cls", ""},                     // 14336
                        {"twice.jpg", "a"},                   // 14848
                        {"twice.cls", "1"},                   // 15872
                        {"twice.cls", "2"},                   // 16896
                        {"good2.jpg", "b"}});
  const TarSource source = file.source();
  CHECK(names_of(source) == std::vector<std::string>{"shard.tar/good.jpg", "shard.tar/two.jpg", "shard.tar/twice.jpg",
                                                     "shard.tar/good2.jpg"});
  CHECK(data_of(source, 1) == "2");
  CHECK(source.label(2) == 1);
  CHECK(faults_of(source) ==
        "shard.tar@2048: two.png: its key has an image already, two.jpg\n"
        "shard.tar@3072: lone: expected an image beside its label or metadata, received none\n"
        "shard.tar@4096: bare: expected an image beside its label or metadata, received none\n"
        "shard.tar@6144: word.cls: expected a decimal integer of 64 bits, received \"cat\"\n"
        "shard.tar@7168: float.cls: expected a decimal integer of 64 bits, received \"1.5\"\n"
        "shard.tar@10240: wide.cls: expected a decimal integer of 64 bits, received \"9223372036854775808\"\n"
        "shard.tar@12288: long.cls: expected a decimal integer, received 65 bytes\n"
        "shard.tar@14336: void.cls: expected a decimal integer of 64 bits, received \"\"\n"
        "shard.tar@16896: twice.cls: its key has a label already\n");
}

TEST_CASE("tar: links, devices and members with holes are no images; a linked label is not guessed") {
  std::vector<Member> members = {{"a.jpg", "1"},
                                 {"hard.jpg", "", AE_IFREG, "a.jpg"},
                                 {"soft.jpg", "", AE_IFLNK, "a.jpg"},
                                 {"device.jpg", "", AE_IFCHR},
                                 {"hard.txt", "", AE_IFREG, "a.jpg"},
                                 {"b.jpg", "2"},
                                 {"b.cls", "", AE_IFREG, "a.cls"},
                                 {"c.jpg", "3"}};
  const ShardFile file(members);
  const TarSource source = file.source();
  CHECK(names_of(source) == std::vector<std::string>{"shard.tar/a.jpg", "shard.tar/c.jpg"});
  CHECK(source.faults().size() == 4);
  for (const char* name : {"@1024: hard.jpg", "@1536: soft.jpg", "@2048: device.jpg", "b.cls"}) {
    CHECK(has(faults_of(source), name));
  }
}

TEST_CASE("tar: dots, absolute paths and control characters are only names") {
  const ShardFile file({{"../../etc/x.jpg", "1"}, {"/etc/y.jpg", "2"}, {"\n\x1b[2J.jpg", "3"}, {"%s%n.jpg", "4"}},
                       "pax");
  const TarSource source = file.source();
  CHECK(names_of(source) == std::vector<std::string>{"shard.tar/../../etc/x.jpg", "shard.tar//etc/y.jpg",
                                                     "shard.tar/\n\x1b[2J.jpg", "shard.tar/%s%n.jpg"});
  CHECK(data_of(source, 3) == "4");
}

TEST_CASE("tar: other extensions can be asked for, in any case") {
  const ShardFile file({{"1.jpg", "1"}, {"2.gif", "2"}, {"3.seg.png", "3"}});
  CHECK(names_of(file.source({.extensions = {".GIF", ".Seg.png"}})) ==
        std::vector<std::string>{"shard.tar/2.gif", "shard.tar/3.seg.png"});
}

TEST_CASE("tar: what cannot be a source is refused, and why") {
  const TempDir dir;
  const std::string path = (dir.path() / "x.tar").string();
  const auto refusal = [&](const std::string& content) {
    test::write_file(path, content);
    return message_of<SourceError>([&] { TarSource({path}); });
  };
  CHECK(has(refusal(""), "expected a tar archive"));
  CHECK(has(refusal("P6 1 1 255\n123"), path));
  CHECK(has(refusal(image_data(1, 100'000)), "expected a tar archive"));
  CHECK(has(refusal(std::string(10'240, '\0')), "not one sample among 0 members"));
  CHECK(has(message_of<SourceError>([&] { TarSource({path + "x"}); }), "No such file"));
  CHECK(has(message_of<SourceError>([&] { TarSource({dir.path().string()}); }), "the folder"));
  write_tar(path, {{"a.seg.png", "1"}, {"b.v2.jpg", "2"}});
  CHECK(
      has(message_of<SourceError>([&] { TarSource({path}); }), "2 have an image's extension only behind another dot"));
  const ShardFile once(shard(0, 5), "ustar", "gzip");
  {  // compressed twice: of a few bytes, without end
    ::archive* const archive = archive_write_new();
    archive_write_set_format_raw(archive);
    archive_write_add_filter_zstd(archive);
    archive_write_open_filename(archive, path.c_str());
    archive_entry* const entry = archive_entry_new();
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_write_header(archive, entry);
    const std::vector<std::uint8_t> bytes = test::read_bytes(once.path);
    archive_write_data(archive, bytes.data(), bytes.size());
    archive_entry_free(entry);
    archive_write_free(archive);
  }
  CHECK(has(message_of<SourceError>([&] { TarSource({path}); }), "compressed more than once"));
  CHECK_THROWS_AS(TarSource({}), ConfigError);
  CHECK_THROWS_AS(TarSource({once.path}, {.shuffle_buffer = 0}), ConfigError);
  CHECK_THROWS_AS(TarSource({once.path}, {.extensions = {"jpg"}}), ConfigError);
}

TEST_CASE("tar: reads at random by many threads are those in sequence, and open no files") {
  const TempDir dir;
  std::vector<std::string> paths;
  for (std::uint64_t i = 0; i < 5; ++i) {
    paths.push_back((dir.path() / fmt::format("s{}.tar", i)).string());
    write_tar(paths.back(), shard(40 * i, 40 * i + 40), "gnutar");
  }
  const std::size_t num_files_before = num_open_files();
  {
    const TarSource source(paths);
    const std::size_t num_files = num_open_files();
    CHECK(num_files == num_files_before + paths.size());
    CHECK(all_in_threads(8, 5000, [&](std::size_t i) {
      const std::uint64_t id = i * 7919 % 200;
      return data_of(source, id) == image_data(id, size_of(id)) &&
             source.metadata(id) == fmt::format("{{\"number\":{}}}", id);
    }));
    CHECK(num_open_files() == num_files);
  }
  CHECK(num_open_files() == num_files_before);
}

TEST_CASE("tar: an archive cut off anywhere lists what is whole before the cut, and a fault") {
  const ShardFile whole(shard(0, 6));
  const std::vector<std::uint8_t> bytes = test::read_bytes(whole.path);
  const std::vector<ByteExtent> images = [&] {
    const MemoryStore store(bytes);
    return index_archive(store, "", extensions, BlockSizes::for_files()).images;
  }();
  const std::uint64_t end_of_data = images[5].offset + (size_of(5) + 511) / 512 * 512 + 2048;
  const auto end_of_label = [&](std::size_t i) {
    return images[i].offset + (size_of(i) + 511) / 512 * 512 + 512 + std::to_string(label_of(i)).size() + 1;
  };
  const TempDir dir;
  const std::string path = (dir.path() / "shard.tar").string();
  std::vector<std::size_t> cuts;
  for (std::size_t cut = 0; cut < end_of_data; cut += 512) {
    for (const std::size_t more : {0u, 1u, 100u, 511u}) cuts.push_back(cut + more);
  }
  for (const std::size_t cut : cuts) {
    CAPTURE(cut);
    test::write_file(path, std::span(bytes).first(cut));
    std::size_t num_whole = 0;  // image and label are there
    while (num_whole < 6 && end_of_label(num_whole) <= cut) ++num_whole;
    if (num_whole == 0) {
      // Of the first image alone it is not known that there are labels.
      const bool is_alone = cut >= images[0].offset + images[0].size && cut < end_of_label(0) - 2;
      if (!is_alone) CHECK_THROWS_AS(TarSource({path}), SourceError);
      continue;
    }
    const TarSource source({path});
    CHECK(source.size() == num_whole);
    for (std::uint64_t id = 0; id < source.size(); ++id) {
      CHECK(source.label(id) == label_of(id));
      CHECK(data_of(source, id) == image_data(id, size_of(id)));
    }
    REQUIRE(!source.faults().empty());
    const std::optional<std::uint64_t> offset = source.faults().front().byte_offset;
    REQUIRE(offset);
    CHECK(*offset <= cut);
    CHECK(*offset + 3 * 2560 >= cut);
  }
}

TEST_CASE("tar: a compressed archive cut off anywhere lists what can be read, and a fault") {
  for (const char* filter : {"gzip", "bzip2", "xz", "zstd"}) {
    CAPTURE(std::string(filter));
    const ShardFile whole(shard(0, 1500), "ustar", filter);
    const std::vector<std::uint8_t> bytes = test::read_bytes(whole.path);
    const TempDir dir;
    const std::string path = (dir.path() / "shard.tar").string();
    std::uint64_t num_listed = 0;
    for (std::size_t cut = 0; cut < bytes.size(); cut += bytes.size() / 15 + 1) {
      CAPTURE(cut);
      test::write_file(path, std::span(bytes).first(cut));
      try {
        const TarSource source({path});
        num_listed = std::max(num_listed, source.size());
        CHECK(!source.faults().empty());
        for (std::uint64_t id = 0; id < source.size(); ++id) CHECK(data_of(source, id) == image_data(id, size_of(id)));
      } catch (const SourceError&) {
        CHECK(cut < 3 * bytes.size() / 4);
      }
    }
    CHECK(num_listed > 100);
  }
}

TEST_CASE("tar: a damaged header costs its sample; the rest is found again, and the fault says where it was") {
  for (std::uint64_t k = 0; k < 8; ++k) {
    const ShardFile file(shard(0, 8));
    const std::vector<ByteExtent> images =
        index_archive(*open_file(file.path), "", extensions, BlockSizes::for_files()).images;
    const std::size_t header = images[k].offset - 512;
    for (const std::size_t byte : {0u, 100u, 124u, 135u, 148u, 156u, 257u}) {
      CAPTURE(k);
      CAPTURE(byte);
      flip(file.path, header + byte, 0x04);
      const TarSource source = file.source();
      CHECK(source.size() == 7);
      for (std::uint64_t id = 0; id < source.size(); ++id) CHECK(is_sample(source, id, id < k ? id : id + 1));
      CHECK(has(faults_of(source), fmt::format("shard.tar@{}: ", header)));
      flip(file.path, header + byte, 0x04);
    }
    flip(file.path, images[k].offset + (size_of(k) + 511) / 512 * 512, 0x01);  // the label's header
    const TarSource source = file.source();
    // Without its label the image is no sample, as soon as it is known that there are labels.
    CHECK(source.size() == (k == 0 ? 8 : 7));
    CHECK(!source.faults().empty());
  }
}

TEST_CASE("tar: a hole of zeros in the middle costs what it covers, at the end it is a fault") {
  const ShardFile file(shard(0, 20));
  std::vector<std::uint8_t> bytes = test::read_bytes(file.path);
  const std::vector<ByteExtent> images =
      index_archive(*open_file(file.path), "", extensions, BlockSizes::for_files()).images;
  std::vector<std::uint8_t> with_hole = bytes;
  std::fill_n(with_hole.begin() + static_cast<std::ptrdiff_t>(images[4].offset - 512), 700, std::uint8_t{0});
  test::write_file(file.path, with_hole);
  const TarSource source = file.source();
  CHECK(source.size() == 19);
  CHECK(is_sample(source, 3, 3));
  CHECK(is_sample(source, 4, 5));
  CHECK(!source.faults().empty());

  std::vector<std::uint8_t> unfinished = bytes;
  unfinished.resize(images[10].offset - 512);
  unfinished.resize(unfinished.size() + (std::size_t{2} << 20));
  test::write_file(file.path, unfinished);
  CHECK(file.source().size() == 10);
  CHECK(has(faults_of(file.source()), "bytes of zeros"));
}

TEST_CASE("tar: what is appended behind an archive's end is read, and no tar archive there is a fault") {
  const ShardFile first(shard(0, 3)), second(shard(3, 5));
  std::vector<std::uint8_t> bytes = test::read_bytes(first.path);
  const std::vector<std::uint8_t> more = test::read_bytes(second.path);
  bytes.insert(bytes.end(), more.begin(), more.end());
  test::write_file(first.path, bytes);
  CHECK(first.source().size() == 5);
  CHECK(faults_of(first.source()) == "");
  bytes.insert(bytes.end(), 3000, 0x55);
  test::write_file(first.path, bytes);
  CHECK(first.source().size() == 5);
  CHECK(has(faults_of(first.source()), fmt::format("passed over")));
}

TEST_CASE("tar: random damage anywhere never crashes, and every sample listed can be read or says why not") {
  std::mt19937 random(1);
  for (const char* filter : {"none", "gzip", "bzip2", "xz", "zstd"}) {
    CAPTURE(std::string(filter));
    const ShardFile file(shard(0, 6), "pax", filter);
    const std::vector<std::uint8_t> bytes = test::read_bytes(file.path);
    for (int trial = 0; trial < 60; ++trial) {
      std::vector<std::uint8_t> damaged = bytes;
      for (int i = 0; i <= trial % 5; ++i) damaged[random() % damaged.size()] = static_cast<std::uint8_t>(random());
      test::write_file(file.path, damaged);
      try {
        const TarSource source = file.source();
        for (std::uint64_t id = 0; id < source.size(); ++id) data_of(source, id);
      } catch (const SourceError& error) {
        CHECK(std::string(error.what()) != "");
      }
    }
  }
}

TEST_CASE("tar: sizes of terabytes in a header are a fault, not memory") {
  const ShardFile file({{"a.jpg", "1"}, {"b.jpg", "2"}, {"c.cls", "3"}});
  std::vector<std::uint8_t> bytes = test::read_bytes(file.path);
  for (const std::size_t header : {1024u, 2048u}) {
    for (const char* size :
         {"77777777777", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff"}) {
      std::vector<std::uint8_t> hostile = bytes;
      std::copy_n(size, 11, hostile.begin() + static_cast<std::ptrdiff_t>(header + 124));
      std::fill_n(hostile.begin() + static_cast<std::ptrdiff_t>(header + 148), 8, std::uint8_t{' '});
      unsigned sum = 0;
      for (std::size_t i = header; i < header + 512; ++i) sum += hostile[i];
      const std::string digits = fmt::format("{:06o}", sum);
      std::copy(digits.begin(), digits.end(), hostile.begin() + static_cast<std::ptrdiff_t>(header + 148));
      hostile[header + 154] = 0;
      test::write_file(file.path, hostile);
      const TarSource source = file.source();
      CHECK(source.size() <= 2);
      CHECK(data_of(source, 0) == "1");
      CHECK(!source.faults().empty());
    }
  }
}

TEST_CASE("tar: what a compressed archive holds of its length is bounded, whether it is passed over or read") {
  const std::string zeros(std::size_t{100} << 20, '\0');
  for (const char* const filter : {"gzip", "zstd"}) {
    CAPTURE(std::string(filter));
    for (const char* const name : {"b.bin", "b.jpg"}) {
      const ShardFile file({{"a.jpg", "1"}, {name, zeros}, {"c.jpg", "3"}}, "ustar", filter);
      const std::string message = message_of<SourceError>([&] { file.source(); });
      CHECK(has(message, "expected at most 200 bytes decompressed of each compressed one, received "));
      CHECK(has(message, " in " + file.path + ": a decompression bomb? If not, raise TarOptions::max_expansion"));
      const TarSource source = file.source({.max_expansion = 1'000'000});
      CHECK(data_of(source, source.size() - 1) == "3");
    }
  }
  // Behind the end of an archive, where libarchive looks for another one.
  const ShardFile ends(std::vector<Member>{{"a.jpg", "1"}});
  const std::vector<std::uint8_t> bytes = test::read_bytes(ends.path);
  const std::string whole(bytes.begin(), bytes.end());
  const ShardFile twice({{"x", whole + zeros}}, "raw", "gzip");
  CHECK(has(message_of<SourceError>([&] { twice.source(); }), "a decompression bomb?"));
  // An index from strangers, that has it all before the first image.
  StreamedShard hostile(3);
  hostile.store = std::make_shared<MemoryStore>(test::read_bytes(twice.path));
  hostile.archive.store = hostile.store;
  hostile.archive.index.images[0] = {.offset = std::uint64_t{1} << 60, .size = 1};
  TarStreams streams(10, 1 << 20);
  std::vector<std::uint8_t> image;
  CHECK(has(message_of<SourceError>([&] { streams.read(hostile.archive, 0, image, {}); }), "a decompression bomb?"));
}

TEST_CASE("tar: what listings of compressed archives take of memory is bounded, in names, metadata and faults") {
  const std::string name(10'000, 'n');
  std::vector<Member> names, metadata, faults;
  for (int i = 0; i < 15; ++i) {
    names.push_back({fmt::format("{}{:02}.jpg", name, i), "1"});
    metadata.push_back({fmt::format("{:02}.jpg", i), "1"});
    metadata.push_back({fmt::format("{:02}.json", i), std::string(10'000, ' ')});
    faults.push_back({fmt::format("{}{:02}.cls", name, i), "x"});
  }
  faults.insert(faults.begin(), {"a.jpg", "1"});
  const TarOptions tight{.max_listing_bytes = 100'000};
  for (const std::vector<Member>& members : {names, metadata, faults}) {
    const ShardFile file(members, "pax", "gzip");
    const std::string message = message_of<SourceError>([&] { file.source(tight); });
    CHECK(has(message, "metadata of at most 100000 bytes in compressed archives, received more in " + file.path));
    CHECK(has(message, "raise TarOptions::max_listing_bytes"));
    CHECK(file.source({.max_listing_bytes = 200'000}).size() > 0);
    CHECK_THROWS_AS(TarSource({file.path, file.path}, {.max_listing_bytes = 200'000}), SourceError);
    // From its index, too.
    file.source({.keep_index = true});
    REQUIRE(fs::exists(file.path + ".index"));
    CHECK_THROWS_AS(file.source({.keep_index = true, .max_listing_bytes = 100'000}), SourceError);
    CHECK(ShardFile(members, "pax").source(tight).size() > 0);  // plain: as long as it is
  }
}

TEST_CASE("tar: options out of range are refused") {
  const ShardFile file(std::vector<Member>{{"a.jpg", "1"}});
  const auto refusal = [&](const TarOptions& options) {
    return message_of<ConfigError>([&] { file.source(options); });
  };
  CHECK(refusal({.max_bytes = -1}) == "[tar source] expected TarOptions::max_bytes of at least 1, received -1");
  CHECK(has(refusal({.max_expansion = 0}), "TarOptions::max_expansion of at least 1"));
  CHECK(has(refusal({.max_listing_bytes = -1}), "TarOptions::max_listing_bytes of at least 1"));
}

TEST_CASE("tar: longer images than max_bytes are refused, longer metadata is left out with a fault") {
  const std::string large(1 << 20, 'x');
  for (const char* filter : {"none", "zstd"}) {
    const ShardFile file(
        {{"a.jpg", "1"}, {"b.jpg", large}, {"c.jpg", "3"}, {"c.json", large + "x"}, {"d.jpg", "4"}, {"d.json", large}},
        "ustar", filter);
    const TarSource source = file.source({.max_bytes = 1000});
    CHECK(data_of(source, 0) == "1");
    CHECK(has(message_of<SourceError>([&] { data_of(source, 1); }), "expected at most 1000 bytes, received 1048576"));
    CHECK(data_of(source, 2) == "3");
    CHECK(source.metadata(2).empty());
    CHECK(source.metadata(3) == large);
    CHECK(has(faults_of(source), "c.json: expected at most 1048576 bytes of metadata"));
  }
}

TEST_CASE("tar: the length is announced before bytes grow") {
  struct Budget : ByteBudget {
    void reserve(std::uint64_t num_bytes) override { reserved.push_back(num_bytes); }
    std::vector<std::uint64_t> reserved;
  };
  for (const char* filter : {"none", "gzip"}) {
    const ShardFile file(shard(0, 5), "ustar", filter);
    Budget budget;
    Sample sample;
    sample.budget = &budget;
    file.source().read(3, sample, {});
    CHECK(budget.reserved == std::vector<std::uint64_t>{size_of(3)});
  }
}

TEST_CASE("tar: fingerprints tell names, sizes, labels and archives apart") {
  const auto fingerprint = [](const std::vector<Member>& members) { return ShardFile(members).source().fingerprint(); };
  const Fingerprint one = fingerprint({{"a.jpg", "1"}, {"b.jpg", "2"}, {"b.cls", "3"}});
  CHECK(fingerprint({{"a.jpg", "2"}, {"b.jpg", "3"}, {"b.cls", " 3"}, {"c.txt", ""}}) == one);
  CHECK(fingerprint({{"a.jpg", "1"}, {"b.jpg", "2"}, {"b.cls", "4"}}).labels != one.labels);
  CHECK(fingerprint({{"a.jpg", "1"}, {"b.jpg", "2"}, {"b.cls", "4"}}).names == one.names);
  CHECK(fingerprint({{"c.jpg", "1"}, {"b.jpg", "2"}, {"b.cls", "3"}}).names != one.names);
  CHECK(fingerprint({{"a.jpg", "11"}, {"b.jpg", "2"}, {"b.cls", "3"}}).names != one.names);
  CHECK(fingerprint({{"b.jpg", "2"}, {"b.cls", "3"}, {"a.jpg", "1"}}).names != one.names);
}

TEST_CASE("tar: a file that was changed or became shorter is noticed when it is read") {
  const ShardFile file(shard(0, 8));
  const TarSource source = file.source();
  std::vector<std::uint8_t> bytes = test::read_bytes(file.path);
  fs::resize_file(file.path, 6000);
  CHECK(has(message_of<SourceError>([&] { data_of(source, 7); }), "ends at byte 6000"));
  CHECK(has(message_of<SourceError>([&] { data_of(source, 0); }), "changed since"));
  fs::resize_file(file.path, bytes.size());
  fs::last_write_time(file.path, fs::file_time_type::clock::now() - std::chrono::hours(5));
  CHECK(has(message_of<SourceError>([&] { data_of(source, 1); }), "changed since"));
}

TEST_CASE("tar: a kept index is used while the archive is the one it was made from") {
  for (const char* filter : {"none", "gzip"}) {
    CAPTURE(std::string(filter));
    const ShardFile file(shard(0, 9), "ustar", filter);
    const fs::path index = file.path + ".index";
    const TarOptions keep{.keep_index = true};
    CHECK(file.source().size() == 9);
    CHECK(!fs::exists(index));
    const TarSource made = file.source(keep);
    REQUIRE(fs::exists(index));
    CHECK(std::distance(fs::directory_iterator(file.dir.path()), fs::directory_iterator()) == 2);

    const TarSource kept = file.source(keep);
    REQUIRE(kept.size() == 9);
    for (std::uint64_t id = 0; id < 9; ++id) CHECK(is_sample(kept, id, id));
    CHECK(kept.fingerprint() == made.fingerprint());
    CHECK(kept.shuffle_block() == made.shuffle_block());

    // That it is used shows when the archive is damaged in a way that its length and time do not show.
    const std::vector<std::uint8_t> bytes = test::read_bytes(file.path);
    const fs::file_time_type time = fs::last_write_time(file.path);
    test::write_file(file.path, std::string(bytes.size(), 'x'));
    fs::last_write_time(file.path, time);
    CHECK(file.source(keep).size() == 9);
    CHECK_THROWS_AS(file.source(), SourceError);

    // Another time, another length, other extensions: made anew.
    fs::last_write_time(file.path, time + std::chrono::seconds(1));
    CHECK_THROWS_AS(file.source(keep), SourceError);
    write_tar(file.path, shard(3, 5));
    fs::last_write_time(file.path, time);
    CHECK(file.source(keep).size() == 2);
    CHECK_THROWS_AS(file.source({.extensions = {".gif"}, .keep_index = true}), SourceError);
    CHECK(file.source(keep).size() == 2);
  }
}

TEST_CASE("tar: of very many faults the first are told, and how many more there are") {
  std::vector<Member> members{{"a.jpg", "1"}};
  for (int i = 0; i < 10'003; ++i) members.push_back({fmt::format("b{}.cls", i), ""});
  const ShardFile file(members);
  const std::vector<ListingFault> faults = file.source().faults();
  REQUIRE(faults.size() == 10'001);
  CHECK(faults.front().byte_offset == 1024);
  CHECK(faults.back().message == "3 faults more");
  CHECK(faults.back().path == file.path);
}

TEST_CASE("tar: an index out of proportion to its archive is not kept, which is a fault of the listing alone") {
  std::vector<Member> members;
  for (int i = 0; i < 1000; ++i) members.push_back({fmt::format("{}{:04}.jpg", std::string(4000, 'a'), i), ""});
  const ShardFile file(members, "pax", "zstd");
  for (int i = 0; i < 2; ++i) {
    const TarSource source = file.source({.keep_index = true});
    CHECK(source.size() == 1000);
    CHECK(has(faults_of(source), "it is not kept"));
    CHECK_FALSE(fs::exists(file.path + ".index"));
  }
}

TEST_CASE("tar: a compressed archive that was damaged unseen since it was indexed is an error of what is read") {
  for (const char* filter : {"gzip", "xz", "zstd"}) {
    CAPTURE(std::string(filter));
    const ShardFile file(shard(0, 200), "ustar", filter);
    file.source({.keep_index = true});
    const std::vector<std::uint8_t> bytes = test::read_bytes(file.path);
    const fs::file_time_type time = fs::last_write_time(file.path);
    const auto damage = [&](std::size_t begin, std::size_t end) {
      std::vector<std::uint8_t> damaged = bytes;
      std::fill(damaged.begin() + static_cast<std::ptrdiff_t>(begin),
                damaged.begin() + static_cast<std::ptrdiff_t>(end), std::uint8_t{0xA5});
      test::write_file(file.path, damaged);
      fs::last_write_time(file.path, time);
    };
    damage(bytes.size() / 2, bytes.size());
    const TarSource half = file.source({.keep_index = true});
    REQUIRE(half.size() == 200);
    CHECK(is_sample(half, 0, 0));
    const std::string late = message_of<SourceError>([&] { data_of(half, 199); });
    CHECK(has(late, "cannot decompress " + file.path + " beyond byte"));
    damage(0, bytes.size());
    const std::string at_once = message_of<SourceError>([&] { data_of(file.source({.keep_index = true}), 0); });
    CHECK(has(at_once, "cannot decompress " + file.path));
  }
}

TEST_CASE("tar: faults are kept with the index") {
  const ShardFile file({{"a.jpg", "1"}, {"b.cls", "x"}, {"c.jpg", "2"}});
  const std::string faults = faults_of(file.source({.keep_index = true}));
  CHECK(faults != "");
  REQUIRE(fs::exists(file.path + ".index"));
  CHECK(faults_of(file.source({.keep_index = true})) == faults);
}

TEST_CASE("tar: a damaged, truncated or foreign index is not used") {
  const ShardFile file(shard(0, 5));
  const std::string index = file.path + ".index";
  file.source({.keep_index = true});
  const std::vector<std::uint8_t> bytes = test::read_bytes(index);
  const auto is_right = [&] {
    const TarSource source = file.source({.keep_index = true});
    return source.size() == 5 && is_sample(source, 4, 4);
  };
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    flip(index, i, 0x41);
    REQUIRE(is_right());
    test::write_file(index, bytes);
  }
  for (std::size_t length = 0; length < bytes.size(); length += 3) {
    test::write_file(index, std::span(bytes).first(length));
    REQUIRE(is_right());
    CHECK(test::read_bytes(index) == bytes);  // made anew
  }
  test::write_file(index, "somebody's own");
  CHECK(is_right());
  CHECK(test::read_bytes(index).size() == 14);
  CHECK(has(faults_of(file.source({.keep_index = true})), "expected an index of muster's"));
  fs::remove(index);
  REQUIRE(mkfifo(index.c_str(), 0600) == 0);
  CHECK(is_right());
  CHECK(fs::is_fifo(index));
  CHECK(has(faults_of(file.source({.keep_index = true})), "expected an index of muster's"));
  fs::remove(index);
  fs::create_directory(index);
  CHECK(is_right());
  CHECK(has(faults_of(file.source({.keep_index = true})), "expected an index of muster's"));
}

TEST_CASE("tar: an index that lies is not believed") {
  const ShardFile file(shard(0, 2));
  const std::string index = file.path + ".index";
  const auto store = open_file(file.path);
  const auto loaded = [&](std::uint64_t num_samples, const std::vector<std::uint64_t>& ends,
                          const std::vector<ByteExtent>& images, std::uint64_t num_metadata,
                          const std::vector<ByteExtent>& metadata, std::uint64_t num_faults = 0) {
    IndexWriter writer;
    writer.text(store->version());
    writer.number(extensions.size());
    for (const std::string& extension : extensions) writer.text(extension);
    writer.number(0);
    writer.number(num_samples);
    writer.text("ab");
    writer.items(ends);
    writer.items(std::vector<std::int64_t>(ends.size()));
    writer.items(images);
    writer.number(num_metadata);
    writer.items(metadata);
    writer.text("");
    writer.number(num_faults);
    IndexFile::write(index, "muster tar index 1\n", writer.bytes());
    return load_index(index, *store, file.path, extensions).has_value();
  };
  using Extents = std::vector<ByteExtent>;
  const std::uint64_t size = store->size();
  constexpr std::uint64_t huge = ~std::uint64_t{0};
  const Extents sound = {{512, 10}, {1024, size - 1024}};
  CHECK(loaded(2, {1, 2}, sound, 2, {{0, 1}, {size, 0}}));
  CHECK(loaded(2, {1, 2}, sound, 0, {}));
  CHECK(!loaded(huge, {1, 2}, sound, 0, {}));
  CHECK(!loaded(huge / 8 + 2, {1, 2}, sound, 0, {}));
  CHECK(!loaded(2, {2, 1}, sound, 0, {}));
  CHECK(!loaded(2, {1, 3}, sound, 0, {}));
  CHECK(!loaded(2, {1, huge}, sound, 0, {}));
  CHECK(!loaded(2, {1, 2}, Extents{{512, 10}, {1024, size - 1023}}, 0, {}));
  CHECK(!loaded(2, {1, 2}, Extents{{512, 10}, {1024, huge}}, 0, {}));
  CHECK(!loaded(2, {1, 2}, Extents{{512, 10}, {huge, 2}}, 0, {}));
  CHECK(!loaded(2, {1, 2}, Extents{{512, 600}, {1024, 1}}, 0, {}));
  CHECK(!loaded(2, {1, 2}, sound, 1, {{0, 1}}));
  CHECK(!loaded(2, {1, 2}, sound, 2, {{0, 1}, {size, 1}}));
  CHECK(!loaded(2, {1, 2}, sound, 2, {{0, 1}, {huge, huge}}));
  CHECK(!loaded(2, {1, 2}, sound, huge, {}));
  CHECK(!loaded(2, {1, 2}, sound, 0, {}, huge));
}

TEST_CASE("tar: indexing jumps over what is large and reads what is small in large blocks") {
  const std::string large(3 << 20, 'x');
  const ShardFile large_file({{"a.jpg", large}, {"b.jpg", large}, {"c.jpg", large}});
  const MemoryStore large_store(test::read_bytes(large_file.path));
  CHECK(index_archive(large_store, "", extensions, BlockSizes::for_urls()).images.size() == 3);
  CHECK(large_store.num_bytes_read < large.size() / 2);
  CHECK(large_store.num_reads <= 5);

  const ShardFile small_file(shard(0, 500));
  const MemoryStore small_store(test::read_bytes(small_file.path));
  CHECK(index_archive(small_store, "", extensions, BlockSizes::for_urls()).images.size() == 500);
  CHECK(small_store.num_reads <= 4);
}

TEST_CASE("tar: what a store throws while an archive is indexed is thrown, not taken for damage") {
  const ShardFile file(shard(0, 400));
  MemoryStore store(test::read_bytes(file.path));
  store.before_read = [&] {
    if (store.num_reads == 4) throw SourceError("read", "the cable is out");
  };
  CHECK(has(message_of<SourceError>([&] { index_archive(store, "", extensions, BlockSizes::for_files()); }),
            "the cable is out"));
}

TEST_CASE("tar: compressed archives are decompressed once per epoch, whatever threads read within the buffer") {
  constexpr std::uint64_t num_samples = 700, block = 90;
  StreamedShard streamed(num_samples);
  for (const int num_threads : {1, 2, 8}) {
    CAPTURE(num_threads);
    TarStreams streams(2 * block + 16, 1 << 20);
    for (std::uint32_t epoch = 0; epoch < 3; ++epoch) {
      streamed.store->num_bytes_read = 0;
      const std::vector<std::uint64_t> ids = block_shuffled(num_samples, block, epoch);
      CHECK(all_in_threads(num_threads, ids.size(), [&](std::size_t row) {
        std::vector<std::uint8_t> bytes;
        streams.read(streamed.archive, ids[row], bytes, {});
        return std::string(bytes.begin(), bytes.end()) == image_data(ids[row], size_of(ids[row]));
      }));
      CHECK(streamed.store->num_bytes_read <= streamed.store->size());
    }
  }
}

TEST_CASE("tar: two epochs at once, and shards of one, each decompress an archive once") {
  constexpr std::uint64_t num_samples = 500, block = 60;
  StreamedShard streamed(num_samples);
  TarStreams streams(2 * block + 16, 1 << 20);
  const auto is_right = [&](std::uint64_t id) {
    std::vector<std::uint8_t> bytes;
    streams.read(streamed.archive, id, bytes, {});
    return std::string(bytes.begin(), bytes.end()) == image_data(id, size_of(id));
  };
  // The last rows of one epoch and the first of the next, in turn.
  const auto first = block_shuffled(num_samples, block, 1), second = block_shuffled(num_samples, block, 2);
  for (std::uint64_t row = 0; row < num_samples - 40; ++row) CHECK(is_right(first[row]));
  for (std::uint64_t row = 0; row < 40; ++row) {
    CHECK(is_right(second[row]));
    CHECK(is_right(first[num_samples - 40 + row]));
  }
  for (std::uint64_t row = 40; row < num_samples; ++row) CHECK(is_right(second[row]));
  CHECK(streamed.store->num_bytes_read <= 2 * streamed.store->size());

  streamed.store->num_bytes_read = 0;
  for (std::uint64_t row = 3; row < num_samples; row += 8) CHECK(is_right(first[row]));
  CHECK(streamed.store->num_bytes_read <= streamed.store->size());
}

TEST_CASE("tar: samples far apart are read slowly and rightly") {
  StreamedShard streamed(120);
  TarStreams streams(4, 1 << 20);
  CHECK(all_in_threads(6, 400, [&](std::size_t i) {
    const std::uint64_t id = i * 7919 % 120;
    std::vector<std::uint8_t> bytes;
    streams.read(streamed.archive, id, bytes, {});
    return std::string(bytes.begin(), bytes.end()) == image_data(id, size_of(id));
  }));
}

TEST_CASE("tar: a compressed source read by threads in blocks gives the samples of its archives, in every epoch") {
  const TempDir dir;
  std::vector<std::string> paths;
  const char* const filters[] = {"gzip", "bzip2", "xz", "zstd", "none"};
  for (std::uint64_t i = 0; i < 5; ++i) {
    paths.push_back((dir.path() / fmt::format("s{}.tar", i)).string());
    write_tar(paths.back(), shard(40 * i, 40 * i + 40), "pax", filters[i]);
  }
  const TarSource source(paths, {.shuffle_buffer = 50});
  CHECK(source.shuffle_block() == 50);
  const std::size_t num_files = num_open_files();
  std::vector<std::uint64_t> ids;
  for (std::uint32_t epoch = 0; epoch < 3; ++epoch) {
    const auto more = block_shuffled(200, 50, epoch);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  CHECK(all_in_threads(8, ids.size(), [&](std::size_t row) {
    return data_of(source, ids[row]) == image_data(ids[row], size_of(ids[row]));
  }));
  CHECK(num_open_files() == num_files);
}

TEST_CASE("tar: a read that waits for another one's stream heeds its stop token") {
  StreamedShard streamed(50);
  std::mutex mutex;
  std::condition_variable changed;
  bool is_blocked = false, may_go_on = false;
  streamed.store->before_read = [&] {
    std::unique_lock lock(mutex);
    is_blocked = true;
    changed.notify_all();
    changed.wait(lock, [&] { return may_go_on; });
  };
  TarStreams streams(200, 1 << 20);
  std::vector<std::uint8_t> first_bytes;
  std::jthread first([&] { streams.read(streamed.archive, 30, first_bytes, {}); });
  {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return is_blocked; });
  }
  // The stream is another thread's, and stays so until the stopped read is over.
  std::stop_source stop;
  std::string message;
  std::atomic<pid_t> second_id = 0;
  std::jthread second([&] {
    std::vector<std::uint8_t> bytes;
    second_id = gettid();
    message = message_of<SourceError>([&] { streams.read(streamed.archive, 31, bytes, stop.get_token()); });
  });
  while (second_id == 0 || !is_asleep(second_id)) std::this_thread::yield();
  stop.request_stop();
  second.join();
  CHECK(has(message, "stopped"));
  {
    const std::lock_guard lock(mutex);
    may_go_on = true;
  }
  changed.notify_all();
  first.join();
  CHECK(std::string(first_bytes.begin(), first_bytes.end()) == image_data(30, size_of(30)));
  std::vector<std::uint8_t> bytes;
  streams.read(streamed.archive, 31, bytes, {});
  CHECK(std::string(bytes.begin(), bytes.end()) == image_data(31, size_of(31)));
}

TEST_CASE("tar: a read that is stopped throws, and the next one is right") {
  for (const char* filter : {"none", "gzip"}) {
    const ShardFile file(shard(0, 50), "ustar", filter);
    const TarSource source = file.source();
    std::stop_source stop;
    CHECK(data_of(source, 3, stop.get_token()) == image_data(3, size_of(3)));
    stop.request_stop();
    CHECK(has(message_of<SourceError>([&] { data_of(source, 4, stop.get_token()); }), "stopped"));
    CHECK(data_of(source, 4) == image_data(4, size_of(4)));
  }
}

}  // namespace muster

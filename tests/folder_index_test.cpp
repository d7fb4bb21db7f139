#include "source/folder_index.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include "muster/files.hpp"
#include "source/hash.hpp"
#include "source/root_folder.hpp"
#include "support.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;

/// All that a listing says.
struct Listing {
  std::vector<std::string> names;
  std::vector<std::int64_t> labels;
  std::vector<std::string> classes;
  std::uint64_t num_links_skipped;
  Fingerprint fingerprint;
  friend bool operator==(const Listing&, const Listing&) = default;
};

Listing listing_of(const ImageFolder& folder) {
  Listing listing{.names = {},
                  .labels = {},
                  .classes = folder.classes(),
                  .num_links_skipped = folder.num_links_skipped(),
                  .fingerprint = folder.fingerprint()};
  for (std::uint64_t id = 0; id < folder.size(); ++id) {
    listing.names.push_back(folder.name(id));
    listing.labels.push_back(folder.label(id));
  }
  return listing;
}

std::string refusal(const fs::path& root, const ImageFolderOptions& options = {}) {
  try {
    ImageFolder{root, options};
  } catch (const SourceError& error) {
    return error.what();
  }
  return {};
}

FolderTree walk(const fs::path& root) {
  return walk_folders(RootFolder(canonical_root(root), "the image folder", ""), root, ImageFolderOptions().extensions);
}

std::string text_of(const fs::path& path) {
  const std::vector<std::uint8_t> bytes = test::read_bytes(path);
  return {bytes.begin(), bytes.end()};
}

/// Writes `index` with the checksum that it ought to have.
void write_with_checksum(const fs::path& path, std::string index) {
  const std::size_t body_begin = index.find('\n') + 1 + 8;
  ContentHash hash;
  hash.add(std::string_view(index).substr(body_begin));
  const std::uint64_t checksum = hash.value();
  std::copy_n(reinterpret_cast<const char*>(&checksum), 8, index.begin() + static_cast<std::ptrdiff_t>(body_begin) - 8);
  fs::remove(path);
  test::write_file(path, index);
}

constexpr std::int64_t ten_seconds_ns = 10'000'000'000;

/// As if the walk had been ten seconds later: of what was changed just before it no index is trusted.
void age(const fs::path& path) {
  std::string index = text_of(path);
  char* const time = index.data() + index.find('\n') + 1 + 8;
  std::int64_t walked_at_ns = 0;
  std::memcpy(&walked_at_ns, time, sizeof walked_at_ns);
  walked_at_ns += ten_seconds_ns;
  std::memcpy(time, &walked_at_ns, sizeof walked_at_ns);
  write_with_checksum(path, index);
}

/// As if nothing below `root` had been changed for an hour, but for the times of status, which cannot be set: a later
/// change shows even within the same tick of the clock.
void settle(const fs::path& root) {
  const auto hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_directory() && !entry.is_symlink()) fs::last_write_time(entry, hour_ago);
  }
  fs::last_write_time(root, hour_ago);
}

/// A small data set in dir/root, and a place for its index beside.
struct DataSet {
  DataSet() {
    test::write_file(root / "b/1.jpg", "b1");
    test::write_file(root / "b/2.png", "b2");
    test::write_file(root / "a b/3.jpg", "ab3");
    test::write_file(root / "a/x/4.jpg", "ax4");
    test::write_file(root / "a/5.jpg", "a5");
    test::write_file(root / "a/6.gif", "a6");
    fs::create_symlink("../b", root / "a/link");
    fs::create_symlink("../b/1.jpg", root / "a/link.jpg");
    fs::create_symlink("nowhere", root / "a/broken.jpg");
    fs::create_symlink("..", root / "a/x/up");
    settle(root);
  }

  ImageFolder indexed(ImageFolderOptions options = {}) const {
    options.index = index;
    ImageFolder folder(root, options);
    if (!folder.from_index()) age(index);
    return folder;
  }

  test::TempDir dir;
  fs::path root = dir.path() / "root";
  fs::path index = dir.path() / "index";
};

}  // namespace

TEST_CASE("folder index: the second listing comes from the index and says the same") {
  const DataSet data;
  const Listing fresh = listing_of(ImageFolder(data.root));
  REQUIRE(fresh.names.size() == 8);
  const ImageFolder first = data.indexed();
  CHECK_FALSE(first.from_index());
  CHECK(listing_of(first) == fresh);
  const ImageFolder second = data.indexed();
  CHECK(second.from_index());
  CHECK(listing_of(second) == fresh);
  Sample sample;
  second.read(0, sample, {});
  CHECK(sample.bytes == test::read_bytes(data.root / "a/5.jpg"));
  CHECK_FALSE(ImageFolder(data.root).from_index());
}

TEST_CASE("folder index: whatever was changed is noticed, and the index made anew") {
  const std::map<std::string, std::function<void(const fs::path&)>> changes = {
      {"add", [](const fs::path& root) { test::write_file(root / "b/0.jpg", ""); }},
      {"add below", [](const fs::path& root) { test::write_file(root / "a/x/0.jpg", ""); }},
      {"remove", [](const fs::path& root) { fs::remove(root / "b/1.jpg"); }},
      {"rename", [](const fs::path& root) { fs::rename(root / "b/1.jpg", root / "b/9.jpg"); }},
      {"touch", [](const fs::path& root) { fs::last_write_time(root / "a/x", fs::file_time_type::clock::now()); }},
      {"add class", [](const fs::path& root) { test::write_file(root / "aa/1.jpg", ""); }},
      {"remove class", [](const fs::path& root) { fs::remove_all(root / "a b"); }},
      {"rename class", [](const fs::path& root) { fs::rename(root / "a b", root / "z"); }},
      {"exchange classes",
       [](const fs::path& root) {
         fs::rename(root / "a b", root / "z");
         fs::rename(root / "b", root / "a b");
         fs::rename(root / "z", root / "b");
       }},
      {"add folder", [](const fs::path& root) { test::write_file(root / "b/y/1.jpg", ""); }},
      {"file to folder",
       [](const fs::path& root) {
         fs::remove(root / "a/5.jpg");
         test::write_file(root / "a/5.jpg/1.jpg", "");
       }},
      {"turn link",
       [](const fs::path& root) {
         fs::remove(root / "a/link");
         fs::create_symlink("../a b", root / "a/link");
       }},
      {"mend link", [](const fs::path& root) { fs::rename(root / "b/2.png", root / "a/nowhere"); }},
  };
  for (const auto& [name, change] : changes) {
    CAPTURE(name);
    const DataSet data;
    data.indexed();
    REQUIRE(data.indexed().from_index());
    change(data.root);
    const Listing fresh = listing_of(ImageFolder(data.root));
    const ImageFolder changed = data.indexed();
    CHECK_FALSE(changed.from_index());
    CHECK(listing_of(changed) == fresh);
    settle(data.root);
    data.indexed();
    const ImageFolder again = data.indexed();
    CHECK(again.from_index());
    CHECK(listing_of(again) == fresh);
  }
}

TEST_CASE("folder index: a change is noticed when the folder's time was set back") {
  const DataSet data;
  const auto time = fs::last_write_time(data.root / "b");
  data.indexed();
  test::write_file(data.root / "b/0.jpg", "");
  fs::last_write_time(data.root / "b", time);
  const ImageFolder folder = data.indexed();
  CHECK_FALSE(folder.from_index());
  CHECK(folder.size() == 10);
}

TEST_CASE("folder index: what was changed just before the walk is not trusted") {
  // A later change within the same tick of the file system's clock would bear the same time.
  const DataSet data;
  fs::last_write_time(data.root / "b", fs::file_time_type::clock::now() + std::chrono::hours(1));
  data.indexed();
  CHECK_FALSE(data.indexed().from_index());
  settle(data.root);
  data.indexed();
  CHECK(data.indexed().from_index());
}

TEST_CASE("folder index: a time of modification that was set back hides no change just before the walk") {
  const DataSet data;  // its folders seem to be an hour old; they were made just now
  ImageFolder(data.root, {.index = data.index});
  CHECK_FALSE(ImageFolder(data.root, {.index = data.index}).from_index());
  age(data.index);
  CHECK(ImageFolder(data.root, {.index = data.index}).from_index());
}

TEST_CASE("folder index: a link that an index passes off as an image does not lead out of the root") {
  const DataSet data;
  test::write_file(data.dir.path() / "outside/1.jpg", "outside");
  fs::create_symlink("../../outside/1.jpg", data.root / "a b/out.jpg");
  settle(data.root);
  FolderTree forged = walk(data.root);
  forged.walked_at_ns += ten_seconds_ns;
  for (WalkedFolder& folder : forged.folders) {
    if (folder.path != "a b") continue;
    folder.names += "out.jpg";
    folder.lengths.push_back(7);
  }
  std::erase_if(forged.links, [](const WalkedLink& link) { return link.path == "a b/out.jpg"; });
  write_folder_index(data.index, forged, ImageFolderOptions().extensions);
  const ImageFolder folder(data.root, {.index = data.index});
  REQUIRE(folder.from_index());
  std::string message;
  for (std::uint64_t id = 0; id < folder.size(); ++id) {
    Sample sample;
    if (folder.name(id) != "a b/out.jpg") continue;
    try {
      folder.read(id, sample, {});
    } catch (const SourceError& error) {
      message = error.what();
    }
    CHECK(sample.bytes.empty());
  }
  CHECK(message.find("expected what lies inside the image folder") != std::string::npos);
}

TEST_CASE("folder index: a link that takes a way outside is followed anew") {
  const DataSet data;
  const fs::path hop = data.dir.path() / "hop";
  fs::create_symlink("root/b/1.jpg", hop);
  fs::create_symlink("../../hop", data.root / "a/hop.jpg");
  settle(data.root);
  data.indexed();
  CHECK(data.indexed().size() == 9);
  REQUIRE(data.indexed().from_index());
  fs::remove(hop);
  CHECK_FALSE(data.indexed().from_index());
  CHECK(data.indexed().size() == 8);
  fs::create_symlink("root/b/1.jpg", hop);
  CHECK_FALSE(data.indexed().from_index());
  CHECK(data.indexed().size() == 9);
}

TEST_CASE("folder index: other extensions or another root are another listing") {
  const DataSet data;
  data.indexed();
  const ImageFolder gif = data.indexed({.extensions = {".gif"}, .allow_empty_classes = true});
  CHECK_FALSE(gif.from_index());
  CHECK(gif.size() == 1);
  CHECK(data.indexed({.extensions = {".gif"}, .allow_empty_classes = true}).from_index());
  CHECK_FALSE(data.indexed({.extensions = {".png"}, .allow_empty_classes = true}).from_index());

  data.indexed();
  const DataSet other;
  test::write_file(other.root / "c/1.jpg", "");
  settle(other.root);
  const ImageFolder folder(other.root, {.index = data.index});
  CHECK_FALSE(folder.from_index());
  age(data.index);
  CHECK(listing_of(folder) == listing_of(ImageFolder(other.root)));
  CHECK(ImageFolder(other.root, {.index = data.index}).from_index());
  CHECK_FALSE(data.indexed().from_index());
}

TEST_CASE("folder index: options that leave the walk as it is are not part of it") {
  const DataSet data;
  fs::create_directory(data.root / "empty");
  settle(data.root);
  CHECK(data.indexed({.allow_empty_classes = true}).classes().size() == 4);
  CHECK(data.indexed({.allow_empty_classes = true, .max_bytes = 7}).from_index());
  CHECK(refusal(data.root, {.index = data.index}) == refusal(data.root));
  CHECK(refusal(data.root).find("received none in \"empty\"") != std::string::npos);
}

TEST_CASE("folder index: damage at any byte is noticed, and the index made anew") {
  const DataSet data;
  const Listing fresh = listing_of(data.indexed());
  const std::string whole = text_of(data.index);
  // Behind the first line: a file with another one may be the user's, and is kept.
  for (std::size_t i = whole.find('\n') + 1; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << i % 8));
    test::write_file(data.index, damaged);
    const ImageFolder folder = data.indexed();
    CAPTURE(i);
    REQUIRE_FALSE(folder.from_index());
    REQUIRE(listing_of(folder) == fresh);
    REQUIRE(data.indexed().from_index());
  }
}

TEST_CASE("folder index: an index cut at any length, or with more behind it, is made anew") {
  const DataSet data;
  const Listing fresh = listing_of(data.indexed());
  const std::string whole = text_of(data.index);
  for (std::size_t length = 0; length <= whole.size(); ++length) {
    test::write_file(data.index, length == whole.size() ? whole + '\0' : whole.substr(0, length));
    const ImageFolder folder = data.indexed();
    CAPTURE(length);
    REQUIRE_FALSE(folder.from_index());
    REQUIRE(listing_of(folder) == fresh);
  }
}

TEST_CASE("folder index: numbers and names made up, under a true checksum, neither crash nor lead out of the root") {
  const DataSet data;
  data.indexed();
  const std::string whole = text_of(data.index);
  const std::size_t body_begin = whole.find('\n') + 1 + 8;
  const fs::path canonical = canonical_root(data.root);
  const std::vector<std::string> extensions = ImageFolderOptions().extensions;
  std::uint64_t num_trusted = 0;
  for (std::size_t i = body_begin; i < whole.size(); ++i) {
    for (const std::string& lie :
         {std::string(8, '\xff'), std::string("\0\0\0\0\0\0\0\x80", 8), std::string("\0\0\0\0\1\0\0\0", 8),
          std::string(8, '\0'), std::string("../"), std::string("/"), std::string("..")}) {
      std::string forged = whole;
      forged.replace(i, std::min(lie.size(), whole.size() - i), lie.substr(0, whole.size() - i));
      write_with_checksum(data.index, forged);
      if (!read_folder_index(data.index, canonical, extensions)) continue;
      ++num_trusted;
      const ImageFolder folder = data.indexed();
      for (std::uint64_t id = 0; id < folder.size(); ++id) {
        const fs::path name = folder.name(id);
        REQUIRE(name.is_relative());
        REQUIRE(std::find(name.begin(), name.end(), "..") == name.end());
        REQUIRE(folder.label(id) >= 0);
        REQUIRE(static_cast<std::uint64_t>(folder.label(id)) < folder.classes().size());
      }
    }
  }
  CHECK(num_trusted > 0);  // the checksum was right: what is no lie about folders is believed
}

TEST_CASE("folder index: folders and names that no walk can bring are not believed") {
  const DataSet data;
  const std::vector<std::string> extensions = ImageFolderOptions().extensions;
  const FolderTree tree = walk(data.root);
  const auto believes = [&](const std::function<void(FolderTree&)>& change) {
    FolderTree forged = tree;
    forged.walked_at_ns += ten_seconds_ns;
    change(forged);
    write_folder_index(data.index, forged, extensions);
    return data.indexed().from_index();
  };
  const auto set_name = [](WalkedFolder& folder, const std::string& name) {
    folder.names = name;
    folder.lengths = {static_cast<std::uint16_t>(name.size())};
  };
  CHECK(believes([](FolderTree&) {}));
  CHECK(believes([&](FolderTree& forged) { set_name(forged.folders[0], "other.jpg"); }));
  for (const std::string name : {"../b/1.jpg", "/1.jpg", "x/4.jpg", ".", "..", ""}) {
    CAPTURE(name);
    CHECK_FALSE(believes([&](FolderTree& forged) { set_name(forged.folders[0], name); }));
  }
  CHECK_FALSE(believes([&](FolderTree& forged) { set_name(forged.folders[0], std::string("a\0.jpg", 6)); }));
  CHECK_FALSE(believes([](FolderTree& forged) { forged.folders[0].lengths.push_back(1); }));
  CHECK_FALSE(believes([](FolderTree& forged) { forged.folders[0].lengths.pop_back(); }));
  CHECK_FALSE(believes([](FolderTree& forged) {  // twice the same
    forged.folders[0].names += forged.folders[0].names;
    forged.folders[0].lengths.insert(forged.folders[0].lengths.end(), forged.folders[0].lengths.begin(),
                                     forged.folders[0].lengths.end());
  }));
  CHECK_FALSE(believes([](FolderTree& forged) { std::swap(forged.folders.front(), forged.folders.back()); }));
  CHECK_FALSE(believes([](FolderTree& forged) { forged.folders.push_back(forged.folders.back()); }));
  CHECK_FALSE(believes([](FolderTree& forged) { forged.folders.erase(forged.folders.begin()); }));

  // Folders that are there, but not in the root.
  test::write_file(data.dir.path() / "outside/1.jpg", "");
  fs::create_symlink("../outside", data.root / "out");
  settle(data.dir.path());
  const FolderTree current = walk(data.root);
  for (const std::string path : {"out", "../outside", "a/../../outside"}) {
    CAPTURE(path);
    FolderTree forged = current;
    forged.walked_at_ns += ten_seconds_ns;
    forged.folders.push_back({.path = path, .stamp = stamp_of(data.dir.path() / "outside")});
    set_name(forged.folders.back(), "1.jpg");
    write_folder_index(data.index, forged, extensions);
    CHECK_FALSE(data.indexed().from_index());
  }
}

TEST_CASE("folder index: one that cannot be written is an error that says so") {
  const DataSet data;
  const fs::path missing = data.dir.path() / "missing/index";
  CHECK(refusal(data.root, {.index = missing}) ==
        "[index] cannot write " + missing.string() + ": No such file or directory");
  const fs::path folder = data.dir.path() / "folder";
  fs::create_directory(folder);
  for (const fs::path& index : {folder, fs::path("/dev/full")}) {
    CHECK(refusal(data.root, {.index = index}).find("received " + index.string() + ", which is something else") !=
          std::string::npos);
  }
}

TEST_CASE("folder index: a file that is something else is not lost") {
  const DataSet data;
  for (const std::string text : {"path,label\na/1.jpg,0\n", "x", "muster bench report, long enough to compare\n"}) {
    test::write_file(data.index, text);
    CHECK(refusal(data.root, {.index = data.index}).find("which is something else") != std::string::npos);
    CHECK(text_of(data.index) == text);
  }
}

TEST_CASE("folder index: a FIFO in its place is refused without waiting for a writer, and stays") {
  const DataSet data;
  REQUIRE(mkfifo(data.index.c_str(), 0600) == 0);
  CHECK(refusal(data.root, {.index = data.index}).find("received " + data.index.string() + ", which is something") !=
        std::string::npos);
  CHECK(fs::is_fifo(data.index));
}

TEST_CASE("folder index: a damaged first line is reported, another version's is made anew") {
  const DataSet data;
  data.indexed();
  const std::string whole = text_of(data.index);
  const std::size_t version = whole.find('\n') - 1;
  for (std::size_t i = 0; i < version; ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    test::write_file(data.index, damaged);
    CAPTURE(i);
    REQUIRE(refusal(data.root, {.index = data.index}).find("or whose first line is damaged") != std::string::npos);
    REQUIRE(text_of(data.index) == damaged);
  }
  std::string other = whole;
  other[version] = '7';
  test::write_file(data.index, other);
  CHECK_FALSE(data.indexed().from_index());
  CHECK(data.indexed().from_index());
}

TEST_CASE("folder index: of a file with another first line the rest is not read, and no folder is listed") {
  const DataSet data;
  test::write_file(data.index, "x");
  fs::resize_file(data.index, std::uintmax_t{1} << 35);  // a hole of 32 GiB
  fs::permissions(data.root / "b", fs::perms::none);
  CHECK(refusal(data.root, {.index = data.index}).find("which is something else") != std::string::npos);
  fs::permissions(data.root / "b", fs::perms::owner_all);
}

TEST_CASE("folder index: none is written into the folder itself") {
  const DataSet data;
  for (const fs::path& index : {data.root / "index", data.root / "a/x/index"}) {
    CHECK(refusal(data.root, {.index = index}) ==
          "[image folder] expected an index outside of the folder that it lists, received " + index.string() +
              "; writing it would change that folder: put it beside");
    CHECK_FALSE(fs::exists(index));
  }
}

TEST_CASE("folder index: several loaders may make the same index at once") {
  const DataSet data;
  const Listing fresh = listing_of(ImageFolder(data.root));
  constexpr int num_threads = 4;
  constexpr int num_rounds = 25;
  std::vector<int> num_equal(num_threads);
  {
    std::vector<std::jthread> threads;
    for (int& count : num_equal) {
      threads.emplace_back([&] {
        for (int round = 0; round < num_rounds; ++round) {
          fs::remove(data.index);
          count += listing_of(ImageFolder(data.root, {.index = data.index})) == fresh;
        }
      });
    }
  }
  CHECK(num_equal == std::vector<int>(num_threads, num_rounds));
  data.indexed();
  CHECK(data.indexed().from_index());
  CHECK(std::distance(fs::directory_iterator(data.dir.path()), {}) == 2);  // root and index, nothing temporary
}

TEST_CASE("folder walk: many classes are listed in the order in which one thread would list them") {
  const test::TempDir dir;
  std::map<std::string, std::map<std::string, std::set<std::string>>> expected;  // class, folder, images
  std::uint32_t state = 1;
  const auto draw = [&](std::uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 16) % below;
  };
  for (int c = 0; c < 200; ++c) {
    const std::string name = "class " + std::to_string(draw(1000));
    for (std::uint32_t left = 1 + draw(20); left > 0; --left) {
      const std::string folder = name + std::vector<std::string>{"", "/x", "/x y", "/x/z"}[draw(4)];
      const std::string image = std::to_string(draw(100000)) + ".jpg";
      test::write_file(dir.path() / folder / image, "");
      expected[name][folder].insert(image);
    }
  }
  std::vector<std::string> names;
  std::vector<std::int64_t> labels;
  std::int64_t label = 0;
  for (const auto& [name, folders] : expected) {
    for (const auto& [folder, images] : folders) {
      for (const std::string& image : images) {
        names.push_back(folder + '/' + image);
        labels.push_back(label);
      }
    }
    ++label;
  }
  for (int round = 0; round < 10; ++round) {
    const Listing listing = listing_of(ImageFolder(dir.path()));
    REQUIRE(listing.names == names);
    REQUIRE(listing.labels == labels);
  }
}

TEST_CASE("folder walk: of several folders that cannot be listed the first in order is named") {
  const test::TempDir dir;
  for (int c = 100; c < 200; ++c) {
    const fs::path folder = dir.path() / std::to_string(c);
    test::write_file(folder / "1.jpg", "");
    // So deep that the path is longer than a path may be, from the root on; made in steps that are not.
    if (c % 10 != 3) continue;
    const fs::path before = fs::current_path();
    fs::current_path(folder);
    for (int depth = 0; depth < 25; ++depth) {
      fs::create_directory(std::string(200, 'x'));
      fs::current_path(std::string(200, 'x'));
    }
    fs::current_path(before);
  }
  for (int round = 0; round < 10; ++round) {
    const std::string message = refusal(dir.path());
    REQUIRE(message.starts_with("[image folder] cannot list the folder " + (dir.path() / "103/x").string()));
    REQUIRE(message.ends_with(": File name too long"));
  }
}

TEST_CASE("folder walk: fingerprints tell names, labels and classes apart") {
  const DataSet data;
  const Fingerprint before = ImageFolder(data.root).fingerprint();
  CHECK(ImageFolder(data.root).fingerprint() == before);
  fs::rename(data.root / "b/1.jpg", data.root / "b/8.jpg");
  CHECK(ImageFolder(data.root).fingerprint().names != before.names);
  CHECK(ImageFolder(data.root).fingerprint().labels != before.labels);  // a/link.jpg led there, and is gone
  const test::TempDir first, second;
  test::write_file(first.path() / "a/1.jpg", "");
  test::write_file(second.path() / "a/1.jpg", "");
  fs::create_directory(second.path() / "b");
  const ImageFolder one(first.path()), two(second.path(), {.allow_empty_classes = true});
  CHECK(one.fingerprint().names == two.fingerprint().names);
  CHECK(one.fingerprint().labels != two.fingerprint().labels);
}

}  // namespace muster

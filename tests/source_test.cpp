#include "muster/files.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <exception>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>

#include "source/byte_store.hpp"
#include "source/file_listing.hpp"
#include "source/read_file.hpp"
#include "support.hpp"

namespace muster {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_of(const Source& source) {
  std::vector<std::string> names;
  for (std::uint64_t id = 0; id < source.size(); ++id) names.push_back(source.name(id));
  return names;
}

std::string text_of(const Source& source, std::uint64_t id) {
  Sample sample;
  source.read(id, sample, {});
  return {sample.bytes.begin(), sample.bytes.end()};
}

/// The message of the error that `call` throws; empty if it throws none.
template <class Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

std::string percent_decoded(const std::string& text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    unsigned byte = 0;
    std::from_chars(text.data() + i + 1, text.data() + i + 3, byte, 16);
    decoded += static_cast<char>(byte);
    i += 2;
  }
  return decoded;
}

void make_link(const fs::path& link, const fs::path& target) {
  fs::create_directories(link.parent_path());
  fs::create_symlink(target, link);
}

/// What `call` returns in a thread for which the kernel answers openat2 with `error`; 0: with what it does.
template <class Call>
std::vector<std::string> without_openat2(int error, Call call) {
  std::vector<std::string> result;
  std::thread([&] {
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter{.len = std::size(code), .filter = code};
    const bool is_set = error == 0 || (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                                       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) == 0);
    result = is_set ? call() : std::vector<std::string>{"no filter can be set"};
  }).join();
  return result;
}

/// Of every sample: its text, or that a link leads out, or what else went wrong.
std::vector<std::string> outcomes_of(const Source& source) {
  std::vector<std::string> outcomes;
  for (std::uint64_t id = 0; id < source.size(); ++id) {
    try {
      outcomes.push_back(text_of(source, id));
    } catch (const SourceError& error) {
      outcomes.emplace_back(has(error.what(), ", which a link leads to ") ? "leads out" : error.what());
    }
  }
  return outcomes;
}

/// A CSV list with this text in a folder of its own.
struct ListFile {
  explicit ListFile(const std::string& text) { test::write_file(path, text); }
  test::TempDir dir;
  fs::path path = dir.path() / "list.csv";
};

std::string csv_refusal(const std::string& text) {
  const ListFile list(text);
  const std::string message = message_of([&] { CsvList{list.path}; });
  CHECK((message.empty() || has(message, "(" + list.path.string() + ")")));
  return message;
}

/// Root may read everything; as another user the system refuses.
class AsNobody {
 public:
  AsNobody() {
    if (geteuid() == 0) changed_ = seteuid(65534) == 0;
  }
  AsNobody(const AsNobody&) = delete;
  AsNobody& operator=(const AsNobody&) = delete;
  ~AsNobody() {
    if (changed_ && seteuid(0) != 0) std::abort();
  }

 private:
  bool changed_ = false;
};

}  // namespace

TEST_CASE("source: an image folder lists classes, files and labels as torchvision does") {
  const test::TempDir dir;
  std::vector<std::string> classes, samples;
  std::ifstream golden(test::golden_dir() / "folder_listing.txt");
  std::string line;
  while (std::getline(golden, line)) {
    std::istringstream words(line);
    std::string kind, first, second;
    words >> kind >> first >> second;
    const std::string name = percent_decoded(first);
    if (kind == "file") test::write_file(dir.path() / name, name);
    if (kind == "folder") fs::create_directories(dir.path() / name);
    if (kind == "link") make_link(dir.path() / name, percent_decoded(second));
    if (kind == "class") classes.push_back(name);
    if (kind == "sample") samples.push_back(first + " " + percent_decoded(second));
  }
  REQUIRE(samples.size() == 60);

  const ImageFolder folder(dir.path());
  CHECK(folder.classes() == classes);
  REQUIRE(folder.size() == samples.size());
  for (std::uint64_t id = 0; id < folder.size(); ++id) {
    CHECK(std::to_string(folder.label(id)) + " " + folder.name(id) == samples[id]);
    Sample sample;
    folder.read(id, sample, {});
    CHECK(sample.label == folder.label(id));
    CHECK(sample.bytes == test::read_bytes(dir.path() / folder.name(id)));
  }
  CHECK(folder.num_links_skipped() == 0);
}

TEST_CASE("source: names that are not UTF-8 sort by their bytes and can be read") {
  const test::TempDir dir;
  test::write_file(dir.path() / "a\xff" / "\x80.jpg", "1");
  test::write_file(dir.path() / "a\xc3\xa4" / "\xfe\xff.jpg", "2");
  test::write_file(dir.path() / "a" / "3.jpg", "3");
  const ImageFolder folder(dir.path());
  CHECK(folder.classes() == std::vector<std::string>{"a", "a\xc3\xa4", "a\xff"});
  CHECK(text_of(folder, 0) == "3");
  CHECK(text_of(folder, 1) == "2");
  CHECK(text_of(folder, 2) == "1");
}

TEST_CASE("source: other extensions can be asked for, in any case") {
  const test::TempDir dir;
  test::write_file(dir.path() / "a/1.gif", "");
  test::write_file(dir.path() / "a/2.jpg", "");
  CHECK(names_of(ImageFolder(dir.path(), {.extensions = {".GIF"}})) == std::vector<std::string>{"a/1.gif"});
}

TEST_CASE("source: a folder that cannot be a data set is refused with what to do") {
  const test::TempDir dir;
  CHECK(message_of([&] { ImageFolder{dir.path() / "missing"}; }) ==
        "[image folder] cannot open the folder " + (dir.path() / "missing").string() + ": No such file or directory");
  test::write_file(dir.path() / "1.jpg", "");
  test::write_file(dir.path() / "2.png", "");
  CHECK(has(message_of([&] { ImageFolder{dir.path() / "1.jpg"}; }), "expected a folder, received the file"));
  const std::string no_class = message_of([&] { ImageFolder{dir.path()}; });
  CHECK(has(no_class, "expected class folders in " + dir.path().string()));
  CHECK(has(no_class, "2 images lie directly in it"));
  CHECK(has(no_class, "DIR/class/image.jpg"));

  test::write_file(dir.path() / "full/1.jpg", "");
  for (const char* const name : {"e1", "e2", "e3", "e4", "e5"}) fs::create_directories(dir.path() / name);
  const std::string empty_class = message_of([&] { ImageFolder{dir.path()}; });
  CHECK(has(empty_class, "received none in \"e1\", \"e2\", \"e3\" and 2 more"));
  CHECK(has(empty_class, "allow_empty_classes"));
  const ImageFolder allowed(dir.path(), {.allow_empty_classes = true});
  CHECK(allowed.size() == 1);
  CHECK(allowed.classes().size() == 6);
  CHECK(allowed.label(0) == 5);
}

TEST_CASE("source: a folder that may not be read is an error, not an empty class") {
  const test::TempDir dir;
  test::write_file(dir.path() / "a/1.jpg", "");
  test::write_file(dir.path() / "b/1.jpg", "");
  fs::permissions(dir.path(), fs::perms::all);
  fs::permissions(dir.path() / "b", fs::perms::none);
  std::string message;
  {
    const AsNobody nobody;
    message = message_of([&] { ImageFolder{dir.path()}; });
  }
  fs::permissions(dir.path() / "b", fs::perms::owner_all);
  CHECK(message == "[image folder] cannot list the folder " + (dir.path() / "b").string() + ": Permission denied");
}

TEST_CASE("source: links that lead out of the root, or nowhere, are left out and counted") {
  const test::TempDir outside;
  test::write_file(outside.path() / "images/1.jpg", "");
  const test::TempDir dir;
  test::write_file(dir.path() / "a/1.jpg", "");
  make_link(dir.path() / "a/out.jpg", outside.path() / "images/1.jpg");
  make_link(dir.path() / "a/out", outside.path() / "images");
  make_link(dir.path() / "a/up.jpg", "../../" + outside.path().filename().string() + "/images/1.jpg");
  make_link(dir.path() / "a/broken.jpg", "nowhere.jpg");
  make_link(dir.path() / "a/loop.jpg", "loop.jpg");
  make_link(dir.path() / "class", outside.path() / "images");
  const ImageFolder folder(dir.path());
  CHECK(names_of(folder) == std::vector<std::string>{"a/1.jpg"});
  CHECK(folder.classes() == std::vector<std::string>{"a"});
  CHECK(folder.num_links_skipped() == 6);
}

TEST_CASE("source: links that were planted after the listing do not lead out, and those inside work") {
  const test::TempDir outside;
  test::write_file(outside.path() / "1.jpg", "outside");
  for (const int error : {0, ENOSYS, EPERM}) {  // with the kernel's help, and without
    CAPTURE(error);
    const test::TempDir dir;
    const fs::path root = dir.path() / "root";
    for (const char* const name : {"a/1.jpg", "b/1.jpg", "c/x/1.jpg", "d/1.jpg"}) test::write_file(root / name, name);
    make_link(root / "e/absolute.jpg", fs::canonical(root) / "d/1.jpg");
    make_link(root / "e/relative.jpg", "../d/1.jpg");
    make_link(root / "e/folder", fs::canonical(root) / "c/x");
    test::write_file(root / "list.csv",
                     "a/1.jpg,0\nb/1.jpg,1\nc/x/1.jpg,2\nd/1.jpg,3\ne/absolute.jpg,4\ne/folder/1.jpg,4\n"
                     "e/relative.jpg,4\n");
    const ImageFolder folder(root);
    const CsvList list(root / "list.csv");
    REQUIRE(folder.size() == 7);
    fs::remove(root / "a/1.jpg");
    make_link(root / "a/1.jpg", outside.path() / "1.jpg");
    fs::remove_all(root / "b");
    make_link(root / "b", "../../" + outside.path().filename().string());
    fs::remove_all(root / "c/x");
    make_link(root / "c/x", outside.path());
    const std::string out = "leads out", in = "d/1.jpg";
    using Outcomes = std::vector<std::string>;
    CHECK(without_openat2(error, [&] { return outcomes_of(folder); }) == Outcomes{out, out, out, in, in, in, out});
    CHECK(without_openat2(error, [&] { return outcomes_of(list); }) == Outcomes{out, out, out, in, in, out, in});
  }
}

TEST_CASE("source: a folder that becomes a link while it is listed does not lead out") {
  const test::TempDir outside;
  test::write_file(outside.path() / "secret.jpg", "");
  for (const int error : {0, ENOSYS}) {  // with the kernel's help, and without
    CAPTURE(error);
    const test::TempDir dir;
    const fs::path root = dir.path() / "root", folder = root / "b/x", link = dir.path() / "link";
    for (const char* const name : {"a/1.jpg", "b/2.jpg", "b/x/3.jpg"}) test::write_file(root / name, "");
    make_link(link, outside.path());
    if (renameat2(AT_FDCWD, folder.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE) != 0) {
      MESSAGE("skipped: this file system cannot exchange two names");
      return;
    }
    const std::jthread exchanging([&](const std::stop_token& stop) {
      while (!stop.stop_requested()) renameat2(AT_FDCWD, folder.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
    });
    const std::vector<std::string> names = without_openat2(error, [&] {
      std::vector<std::string> listed;
      for (int round = 0; round < 1000; ++round) {
        try {
          std::ranges::copy(names_of(ImageFolder(root)), std::back_inserter(listed));
        } catch (const SourceError&) {
          // It was a folder when its parent was read, and a link when it was to be opened.
        }
      }
      return listed;
    });
    CHECK(std::ranges::any_of(names, [](const std::string& name) { return has(name, "1.jpg"); }));
    for (const std::string& name : names) REQUIRE(!has(name, "secret"));
  }
}

TEST_CASE("source: a root that is moved away is no way out") {
  const test::TempDir dir;
  test::write_file(dir.path() / "root/a/1.jpg", "1");
  test::write_file(dir.path() / "other/a/1.jpg", "other");
  const ImageFolder folder(dir.path() / "root");
  fs::rename(dir.path() / "root", dir.path() / "moved");
  make_link(dir.path() / "root", "other");
  CHECK(text_of(folder, 0) == "1");
}

TEST_CASE("source: options out of range are refused") {
  const test::TempDir dir;
  test::write_file(dir.path() / "a/1.jpg", "1");
  const ListFile list("a.jpg,0\n");
  CHECK_THROWS_WITH_AS(ImageFolder(dir.path(), {.max_bytes = -1}),
                       "[image folder] expected ImageFolderOptions::max_bytes of at least 1, received -1", ConfigError);
  CHECK_THROWS_WITH_AS(CsvList(list.path, {.max_bytes = 0}),
                       "[csv list] expected CsvListOptions::max_bytes of at least 1, received 0", ConfigError);
  CHECK_THROWS_AS(CsvList(list.path, {.max_list_bytes = -1}), ConfigError);
}

TEST_CASE("source: a root whose neighbour has a longer name does not contain that neighbour") {
  const test::TempDir dir;
  test::write_file(dir.path() / "root/a/1.jpg", "");
  test::write_file(dir.path() / "root2/1.jpg", "");
  make_link(dir.path() / "root/a/2.jpg", "../../root2/1.jpg");
  CHECK(names_of(ImageFolder(dir.path() / "root")) == std::vector<std::string>{"a/1.jpg"});
}

TEST_CASE("source: an error about missing images mentions the links that were left out") {
  const test::TempDir outside;
  test::write_file(outside.path() / "1.jpg", "");
  const test::TempDir dir;
  make_link(dir.path() / "a/1.jpg", outside.path() / "1.jpg");
  CHECK(has(message_of([&] { ImageFolder{dir.path()}; }), "1 links that lead out of it or nowhere were left out"));
}

TEST_CASE("source: the root itself may be a link") {
  const test::TempDir dir;
  test::write_file(dir.path() / "real/a/1.jpg", "1");
  make_link(dir.path() / "root", "real");
  const ImageFolder folder(dir.path() / "root");
  CHECK(folder.size() == 1);
  CHECK(text_of(folder, 0) == "1");
}

TEST_CASE("source: cycles of links end") {
  const test::TempDir dir;
  test::write_file(dir.path() / "a/1.jpg", "");
  test::write_file(dir.path() / "b/2.jpg", "");
  make_link(dir.path() / "a/self", ".");
  make_link(dir.path() / "a/root", "..");
  make_link(dir.path() / "a/b", "../b");
  make_link(dir.path() / "b/a", "../a");
  make_link(dir.path() / "whole", ".");
  const ImageFolder folder(dir.path());
  CHECK(names_of(folder) == std::vector<std::string>{"a/1.jpg", "a/b/2.jpg", "b/2.jpg", "b/a/1.jpg"});
  CHECK(folder.num_links_skipped() == 7);
}

TEST_CASE("source: many folders that link to one another do not multiply without end") {
  const test::TempDir dir;
  constexpr int num_folders = 12;  // 12! ways through them
  for (int i = 0; i < num_folders; ++i) {
    const fs::path folder = dir.path() / "class" / std::to_string(i);
    test::write_file(folder / "1.jpg", "");
    for (int j = 0; j < num_folders; ++j) make_link(folder / ("to" + std::to_string(j)), "../" + std::to_string(j));
  }
  const ImageFolder folder(dir.path());
  CHECK(folder.size() >= 12);
  CHECK(folder.size() < 12 * 20);
  CHECK(names_of(folder) == names_of(ImageFolder(dir.path())));
}

TEST_CASE("source: special files are listed by name and refused when read, without waiting") {
  const test::TempDir dir;
  fs::create_directories(dir.path() / "a/folder.jpg");
  REQUIRE(mkfifo((dir.path() / "a/pipe.jpg").c_str(), 0600) == 0);
  const ImageFolder folder(dir.path());
  REQUIRE(names_of(folder) == std::vector<std::string>{"a/pipe.jpg"});
  CHECK(message_of([&] { text_of(folder, 0); }) ==
        "[read] expected a regular file, received the special file " + (dir.path() / "a/pipe.jpg").string());
}

TEST_CASE("source: a file that vanishes after listing is an error that names it") {
  const test::TempDir dir;
  test::write_file(dir.path() / "a/1.jpg", "1");
  const ImageFolder folder(dir.path());
  fs::remove(dir.path() / "a/1.jpg");
  CHECK(message_of([&] { text_of(folder, 0); }) ==
        "[read] cannot read " + (dir.path() / "a/1.jpg").string() + ": No such file or directory");
}

TEST_CASE("source: a file that may not be read is an error with the system's reason") {
  const test::TempDir dir;
  test::write_file(dir.path() / "1.jpg", "1");
  fs::permissions(dir.path(), fs::perms::all);
  fs::permissions(dir.path() / "1.jpg", fs::perms::none);
  std::vector<std::uint8_t> bytes;
  const AsNobody nobody;
  CHECK(has(message_of([&] { read_file(dir.path() / "1.jpg", bytes); }), "1.jpg: Permission denied"));
}

TEST_CASE("source: an index that may not be read is not replaced") {
  const test::TempDir dir;
  const fs::path root = dir.path() / "root", index = dir.path() / "index";
  test::write_file(root / "a/1.jpg", "");
  test::write_file(index, "somebody's own");
  fs::permissions(dir.path(), fs::perms::all);
  fs::permissions(index, fs::perms::none);
  {
    const AsNobody nobody;
    CHECK(has(message_of([&] { ImageFolder(root, {.index = index}); }), index.string() + ": Permission denied"));
  }
  CHECK(test::read_bytes(index).size() == 14);
}

TEST_CASE("source: ids outside the listing are refused") {
  const test::TempDir dir;
  test::write_file(dir.path() / "a/1.jpg", "1");
  const ImageFolder folder(dir.path());
  Sample sample;
  CHECK_THROWS_WITH_AS(folder.read(1, sample, {}), "[source] expected a sample id below 1, received 1", SourceError);
  CHECK_THROWS_AS(folder.name(1), SourceError);
  CHECK_THROWS_AS(folder.label(~std::uint64_t{0}), SourceError);
}

TEST_CASE("source: copies share the listing") {
  const test::TempDir dir;
  test::write_file(dir.path() / "a/1.jpg", "1");
  const ImageFolder folder(dir.path());
  const ImageFolder copy = folder;
  CHECK(&copy.classes() == &folder.classes());
  CHECK(text_of(copy, 0) == "1");
}

TEST_CASE("source: reading a file replaces what was there and reuses its capacity") {
  const test::TempDir dir;
  const fs::path path = dir.path() / "f";
  std::vector<std::uint8_t> bytes(5000, 7);
  const std::uint8_t* const memory = bytes.data();
  test::write_file(path, "abc");
  read_file(path, bytes);
  CHECK(std::string(bytes.begin(), bytes.end()) == "abc");
  CHECK(bytes.data() == memory);
  test::write_file(path, "");
  read_file(path, bytes);
  CHECK(bytes.empty());
}

TEST_CASE("source: files of any length are read whole") {
  const test::TempDir dir;
  const fs::path path = dir.path() / "f";
  std::vector<std::uint8_t> bytes;
  for (const std::size_t size : {1u, 4095u, 4096u, 4097u, (1u << 20) - 1, 1u << 20, (1u << 20) + 1, 3'000'000u}) {
    std::vector<std::uint8_t> content(size);
    for (std::size_t i = 0; i < size; ++i) content[i] = static_cast<std::uint8_t>(i * 2654435761u >> 13);
    test::write_file(path, content);
    read_file(path, bytes);
    CHECK(bytes == content);
  }
}

TEST_CASE("source: what counts is where a file ends, not the size it states") {
  // Files of /proc state 0 bytes, as if they had grown since they were opened.
  std::vector<std::uint8_t> bytes;
  read_file("/proc/self/maps", bytes);
  CHECK(bytes.size() > 4096);
  CHECK_THROWS_AS(read_file("/proc/self/maps", bytes, 100), SourceError);
  // Files of /sys state a page and end earlier, as if they had been cut.
  const fs::path shorter = "/sys/devices/system/cpu/online";
  if (!fs::exists(shorter)) return;
  read_file(shorter, bytes);
  CHECK(bytes.size() < fs::file_size(shorter));
  CHECK(bytes.back() == '\n');
}

TEST_CASE("source: a file above the limit is refused before it is read, folders and missing files too") {
  const test::TempDir dir;
  const fs::path path = dir.path() / "f";
  test::write_file(path, "abcd");
  std::vector<std::uint8_t> bytes;
  CHECK_NOTHROW(read_file(path, bytes, 4));
  CHECK_THROWS_WITH_AS(read_file(path, bytes, 3),
                       ("[read] expected at most 3 bytes, received 4 in " + path.string()).c_str(), SourceError);
  fs::resize_file(path, std::uintmax_t{1} << 41);  // a hole of 2 TiB
  CHECK_THROWS_AS(read_file(path, bytes), SourceError);
  CHECK_THROWS_WITH_AS(read_file(dir.path(), bytes),
                       ("[read] expected a regular file, received the folder " + dir.path().string()).c_str(),
                       SourceError);
  CHECK_THROWS_AS(read_file(dir.path() / "missing", bytes), SourceError);
  CHECK_THROWS_AS(read_file("/dev/zero", bytes), SourceError);
}

TEST_CASE("source: a requested stop ends a read") {
  const test::TempDir dir;
  test::write_file(dir.path() / "a/1.jpg", "1");
  test::write_file(dir.path() / "list.csv", "a/1.jpg,0\n");
  std::stop_source stop;
  stop.request_stop();
  Sample sample;
  CHECK_THROWS_WITH_AS(ImageFolder(dir.path()).read(0, sample, stop.get_token()), "[read] stopped", SourceError);
  CHECK_THROWS_WITH_AS(CsvList(dir.path() / "list.csv").read(0, sample, stop.get_token()), "[read] stopped",
                       SourceError);
}

TEST_CASE("source: a listing keeps names apart") {
  FileListing listing;
  listing.add("a", 3);
  listing.add("", 4);
  listing.add("bc", -5);
  listing.shrink_to_fit();
  CHECK(listing.name(0) == "a");
  CHECK(listing.name(1).empty());
  CHECK(listing.name(2) == "bc");
  CHECK(listing.label(2) == -5);
}

TEST_CASE("source: a list reads paths relative to its folder, and integer labels as they are") {
  const ListFile list("a/1.jpg,7\nb.jpg,-2\na/1.jpg,0\n");
  test::write_file(list.dir.path() / "a/1.jpg", "one");
  test::write_file(list.dir.path() / "b.jpg", "two");
  const CsvList source(list.path);
  CHECK(names_of(source) == std::vector<std::string>{"a/1.jpg", "b.jpg", "a/1.jpg"});
  CHECK(source.label(0) == 7);
  CHECK(source.label(1) == -2);
  CHECK(source.classes().empty());
  CHECK(text_of(source, 1) == "two");
  Sample sample;
  source.read(1, sample, {});
  CHECK(sample.label == -2);
}

TEST_CASE("source: labels that are names count from 0 in sorted order") {
  const ListFile list("path,label\n1.jpg,zebra\n2.jpg,ant\n3.jpg,zebra\n4.jpg,Äffin\n");
  const CsvList source(list.path);
  CHECK(source.classes() == std::vector<std::string>{"ant", "zebra", "Äffin"});
  CHECK(source.size() == 4);
  CHECK(source.label(0) == 1);
  CHECK(source.label(1) == 0);
  CHECK(source.label(2) == 1);
  CHECK(source.label(3) == 2);
}

TEST_CASE("source: lists may be written in every way that RFC 4180 knows") {
  const std::vector<std::string> expected = {"a, b.jpg", "say \"x\".jpg", "new\nline.jpg", " space.jpg"};
  const std::string lf = "\"a, b.jpg\",0\n\"say \"\"x\"\".jpg\",1\n\"new\nline.jpg\",\"2\"\n space.jpg,3";
  CHECK(names_of(CsvList(ListFile(lf).path)) == expected);
  CHECK(names_of(CsvList(ListFile(lf + "\n").path)) == expected);
  CHECK(names_of(CsvList(ListFile("\xef\xbb\xbfpath,label\n" + lf).path)) == expected);
  CHECK(names_of(CsvList(ListFile("\n\npath,label\n\n" + lf + "\n\n\n").path)) == expected);
  const std::string crlf = "path,label\r\n\"a, b.jpg\",0\r\n\r\nb.jpg,1\r\n";
  CHECK(names_of(CsvList(ListFile(crlf).path)) == std::vector<std::string>{"a, b.jpg", "b.jpg"});
  CHECK(names_of(CsvList(ListFile("a.jpg,0\r").path)) == std::vector<std::string>{"a.jpg"});
  CHECK(names_of(CsvList(ListFile("\"a\r\nb.jpg\",0").path)) == std::vector<std::string>{"a\r\nb.jpg"});
  CHECK(CsvList(ListFile("a.jpg,\"one, two\"").path).classes() == std::vector<std::string>{"one, two"});
}

TEST_CASE("source: only the first line is a header") {
  const ListFile list("path,label\npath,label\n");
  const CsvList source(list.path);
  CHECK(names_of(source) == std::vector<std::string>{"path"});
  CHECK(source.classes() == std::vector<std::string>{"label"});
}

TEST_CASE("source: a list with a mistake is refused with the number of its line") {
  const std::map<std::string, std::string> mistakes = {
      {"a.jpg,0\nb.jpg\n", "line 2: expected path,label, received 1 fields"},
      {"a.jpg,0\nb.jpg,1,2\n", "line 2: expected path,label, received 3 fields"},
      {"a.jpg,0,\n", "line 1: expected path,label, received 3 fields"},
      {"a.jpg,0\n\n\"x\ny.jpg\",1\n,2\n", "line 5: expected a path, received nothing"},
      {"a.jpg,\n", "line 1: expected a label, received nothing"},
      {"a.jpg, 1\n", "line 1: expected a label without spaces around it, received \" 1\""},
      {"a.jpg,cat \n", "line 1: expected a label without spaces around it"},
      {"\na.jpg,0\nb.jpg,1\nc.jpg,cat\n", "line 4: expected an integer label as on line 2, received \"cat\""},
      {"a.jpg,cat\nb.jpg,1\n", "line 2: expected a class name as on line 1, received \"1\""},
      {"file,class\nb.jpg,1\n", "a header line reads path,label"},
      {"a.jpg,99999999999999999999\n", "line 1: expected a label of 64 bits, received 99999999999999999999"},
      {"a.jpg,0\n\"b.jpg,1\n", "line 2: found a quote that is never closed"},
      {"a.jpg,0\nb\".jpg,1\n", "line 2: found a quote inside a field"},
      {"\"a\"b.jpg,0\n", "line 1: expected a comma or the end of the line after a closing quote"},
      {"a.jpg,0\rb.jpg,1\r", "line 1: found a carriage return without a line feed"},
      {std::string("a\0.jpg,1\n", 9), "line 1: expected a path, received one with a zero byte"},
      {"\xff\xfe"
       "a",
       "line 1: expected UTF-8, received UTF-16"},
      {"a.jpg,0\n/etc/passwd,1\n", "line 2: expected a path inside the list's folder, received \"/etc/passwd\""},
      {"../a.jpg,0\n", "line 1: expected a path inside"},
      {"x/../../a.jpg,0\n", "line 1: expected a path inside"},
      {"", "expected lines of path,label, received none"},
      {"path,label\n", "expected lines of path,label, received none"},
  };
  for (const auto& [text, expected] : mistakes) {
    CAPTURE(text);
    const std::string message = csv_refusal(text);
    CAPTURE(message);
    CHECK(has(message, expected));
  }
  CHECK(csv_refusal("x/../a.jpg,0\n").empty());
  CHECK(csv_refusal("..a.jpg,0\n").empty());
  CHECK(has(message_of([] { CsvList{"/no/such/list.csv"}; }), "/no/such/list.csv: No such file or directory"));
}

TEST_CASE("source: a listed file that is missing is an error when it is read") {
  const ListFile list("a.jpg,0\n");
  const CsvList source(list.path);
  CHECK(has(message_of([&] { text_of(source, 0); }), "a.jpg: No such file or directory"));
}

TEST_CASE("source: a list does not lead out of its folder, unless it is allowed to") {
  const test::TempDir outside;
  test::write_file(outside.path() / "1.jpg", "outside");
  const ListFile list("link.jpg,0\nfolder/1.jpg,1\ninside.jpg,2\n");
  test::write_file(list.dir.path() / "real.jpg", "inside");
  make_link(list.dir.path() / "link.jpg", outside.path() / "1.jpg");
  make_link(list.dir.path() / "folder", outside.path());
  make_link(list.dir.path() / "inside.jpg", "real.jpg");
  const CsvList strict(list.path);
  CHECK(has(message_of([&] { text_of(strict, 0); }), "expected what lies inside the list's folder"));
  CHECK(has(message_of([&] { text_of(strict, 1); }), "CsvListOptions::allow_outside"));
  CHECK(text_of(strict, 2) == "inside");
  const CsvList open(list.path, {.allow_outside = true});
  CHECK(text_of(open, 0) == "outside");
  CHECK(text_of(open, 1) == "outside");

  const std::string relative = "../" + outside.path().filename().string() + "/1.jpg";
  const ListFile leaving((outside.path() / "1.jpg").string() + ",0\n" + relative + ",1\n");
  const CsvList allowed(leaving.path, {.allow_outside = true});
  CHECK(text_of(allowed, 0) == "outside");
  CHECK(text_of(allowed, 1) == "outside");
  CHECK(allowed.name(1) == relative);
}

TEST_CASE("source: samples in memory come as they are, and share their pixels") {
  const auto image = std::make_shared<const Image>(test::noise_image({2, 3}, 3, 1));
  const MemorySource source(
      {{.bytes = {1, 2}, .image = nullptr, .label = 4}, {.bytes = {}, .image = image, .label = 5}}, {"first", "second"},
      {"cat", "dog"});
  CHECK(source.size() == 2);
  CHECK(source.name(1) == "second");
  CHECK(source.classes() == std::vector<std::string>{"cat", "dog"});
  CHECK(source.metadata(0).empty());
  Sample sample;
  sample.bytes.reserve(100);
  const std::uint8_t* const memory = sample.bytes.data();
  source.read(0, sample, {});
  CHECK(sample.bytes == std::vector<std::uint8_t>{1, 2});
  CHECK(sample.bytes.data() == memory);
  CHECK(sample.image == nullptr);
  CHECK(sample.label == 4);
  sample.clear();
  CHECK((sample.bytes.empty() && sample.bytes.capacity() >= 100 && sample.label == 0));
  source.read(1, sample, {});
  CHECK(sample.image == image);
  CHECK(sample.label == 5);
  CHECK_THROWS_AS(source.read(2, sample, {}), SourceError);
}

TEST_CASE("source: samples in memory need a name each or none, and pixels of 1 or 3 channels") {
  CHECK(MemorySource(std::vector<Sample>(2)).name(1) == "#1");
  CHECK(MemorySource(std::vector<Sample>(1)).classes().empty());
  CHECK_THROWS_WITH_AS(MemorySource(std::vector<Sample>(2), {"one"}),
                       "[memory source] expected no names or one for each of 2 samples, received 1", ConfigError);
  Sample four;
  four.image = std::make_shared<const Image>(Size{1, 1}, 4);
  CHECK_THROWS_AS(MemorySource(std::vector<Sample>{four}), ShapeError);
  Sample empty;
  empty.image = std::make_shared<const Image>();
  CHECK_THROWS_WITH_AS(MemorySource(std::vector<Sample>{empty}),
                       "[memory source] expected an image of 1 or 3 channels, received 0 (sample 0)", ShapeError);
}

TEST_CASE("source: a source of one's own has numbers for names and no classes") {
  struct Own : Source {
    std::uint64_t size() const override { return 1; }
    void read(std::uint64_t, Sample&, std::stop_token) const override {}
  };
  CHECK(Own().name(12) == "#12");
  CHECK(Own().metadata(0).empty());
  CHECK(Own().classes().empty());
}

// With AddressSanitizer comes UndefinedBehaviorSanitizer, which needs descriptors to look at memory.
#if !defined(__SANITIZE_ADDRESS__)
TEST_CASE("source: an archive that no file descriptor is left for says how to raise the limit") {
  const test::TempDir dir;
  test::write_file(dir.path() / "a.tar", std::string("x"));
  const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);  // the lowest that is free
  ::close(next);
  rlimit saved{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &saved) == 0);
  const rlimit full{static_cast<rlim_t>(next), saved.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &full) == 0);
  std::exception_ptr error;
  try {
    open_file(dir.path() / "a.tar");
  } catch (...) {
    error = std::current_exception();
  }
  ::setrlimit(RLIMIT_NOFILE, &saved);
  REQUIRE(error);
  const std::string message = message_of([&] { std::rethrow_exception(error); });
  CHECK(message.find("each archive needs a file descriptor") != std::string::npos);
  CHECK(message.find("a.tar") != std::string::npos);
  CHECK(message.find("ulimit -n") != std::string::npos);
  CHECK(open_file(dir.path() / "a.tar")->size() == 1);
}
#endif

}  // namespace muster

// Big folders: seconds and memory to list a generated tree, by walking it and from its index.
//
//   folder_bench [NUM_FILES [DIR]]      (default: 1000000 empty files in 1000 classes, in the temporary folder)
//
// The tree is made below DIR and removed in the end. Figures are those of a tree in the page cache. Each listing runs
// in a process of its own, so that the most memory it was resident with is its own, too.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "muster/files.hpp"

namespace {

namespace fs = std::filesystem;
using namespace muster;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// A folder that is removed in the end.
class Tree {
 public:
  Tree(const fs::path& parent, std::int64_t num_files, std::int64_t num_classes) {
    std::string pattern = (parent / "muster-folder-bench-XXXXXX").native();
    if (mkdtemp(pattern.data()) == nullptr) throw std::system_error(errno, std::generic_category(), pattern);
    path_ = pattern;
    for (std::int64_t i = 0; i < num_files; ++i) {
      const fs::path folder = root() / fmt::format("n{:08}", i % num_classes);
      if (i < num_classes) fs::create_directories(folder);
      touch(folder / fmt::format("n{:08}_{:05}.JPEG", i % num_classes, i / num_classes));
    }
  }
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;
  ~Tree() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

  fs::path root() const { return path_ / "images"; }
  fs::path index() const { return path_ / "index"; }
  void change() const { touch(root() / "n00000000/new.JPEG"); }

 private:
  static void touch(const fs::path& path) {
    if (!std::ofstream(path)) throw std::runtime_error("cannot write " + path.native());
  }

  fs::path path_;
};

/// What a listing cost, and what it was.
struct Listing {
  double seconds = 0;
  std::int64_t peak_kib = 0;  // resident, beyond what the process began with
  std::uint64_t size = 0;
  bool from_index = false;
};

std::int64_t peak_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

/// Lists in a child, which hands back what it measured.
Listing list(const Tree& tree, bool with_index) {
  int ends[2];
  if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const pid_t child = fork();
  if (child < 0) throw std::system_error(errno, std::generic_category(), "fork");
  if (child == 0) {
    const std::int64_t kib_before = peak_kib();
    const auto start = Clock::now();
    const ImageFolder folder(tree.root(), {.index = with_index ? tree.index() : fs::path()});
    const Listing listing{.seconds = seconds_since(start),
                          .peak_kib = peak_kib() - kib_before,
                          .size = folder.size(),
                          .from_index = folder.from_index()};
    _exit(write(ends[1], &listing, sizeof listing) == sizeof listing ? 0 : 1);
  }
  close(ends[1]);
  Listing listing;
  const bool is_whole = read(ends[0], &listing, sizeof listing) == sizeof listing;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!is_whole || status != 0) throw std::runtime_error("a listing failed");
  return listing;
}

void print(const char* what, const Listing& listing) {
  fmt::print("{:<34}{:>8.3f} s{:>10.1f} MB\n", what, listing.seconds,
             static_cast<double>(listing.peak_kib) * 1024 / 1e6);
}

void expect(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(fmt::format("does not hold: {}", what));
}

/// Of changes younger than two seconds no index is trusted.
void let_settle() { std::this_thread::sleep_for(std::chrono::milliseconds(2100)); }

void run(std::uint64_t num_files, const fs::path& parent) {
  auto start = Clock::now();
  const Tree tree(parent, static_cast<std::int64_t>(num_files),
                  static_cast<std::int64_t>(std::min<std::uint64_t>(num_files, 1000)));
  fmt::print("{} files, made in {:.1f} s\n", num_files, seconds_since(start));
  let_settle();

  list(tree, false);  // brings it into the page cache
  const Listing walked = list(tree, false);
  const Listing made = list(tree, true);
  const double bytes = static_cast<double>(fs::file_size(tree.index()));
  const Listing reused = list(tree, true);
  tree.change();
  const Listing stale = list(tree, true);
  print("listed", walked);
  print("listed, index made", made);
  print("from the index", reused);
  print("index stale after one change", stale);
  fmt::print("index: {:.1f} MB, {:.1f} bytes a file\n", bytes / 1e6, bytes / static_cast<double>(num_files));
  expect(walked.size == num_files && made.size == num_files && reused.size == num_files, "every file is listed");
  expect(!walked.from_index && !made.from_index && reused.from_index, "an index is used as soon as there is one");
  expect(!stale.from_index && stale.size == num_files + 1, "a stale index is noticed");
}

}  // namespace

int main(int argc, char** argv) try {
  // As a test it runs once, briefly.
  const bool brief = argc > 1 && std::strncmp(argv[1], "--benchmark", 11) == 0;
  std::uint64_t num_files = brief ? 2000 : 1'000'000;
  if (argc > 1 && !brief) {
    const char* const end = argv[1] + std::strlen(argv[1]);
    const auto [rest, error] = std::from_chars(argv[1], end, num_files);
    if (error != std::errc() || rest != end || num_files < 1 || num_files > 100'000'000) {
      fmt::print(stderr, "Usage: folder_bench [NUM_FILES [DIR]]\n");
      return 2;
    }
  }
  run(num_files, argc > 2 ? fs::path(argv[2]) : fs::temp_directory_path());
} catch (const std::exception& error) {
  fmt::print(stderr, "folder_bench: {}\n", error.what());
  return 1;
}

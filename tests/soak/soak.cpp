// Many batches, with errors in between, by loaders that come and go: every shape and every pixel is what it was the
// first time, and neither memory, nor file descriptors, nor threads become more.
//
//   muster_soak [BATCHES]      (default 2000)
//
// A loader lives for a seeded while with options of its own: threads, io threads, prefetch, batch size, policies, a
// folder (listed, or through an index) or memory. Of its images some are damaged, one is replaced by garbage and put
// back while it runs. Its consumer leaves epochs early, resumes from states, holds batches, iterates two epochs at
// once.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "../jpeg.hpp"
#include "../support.hpp"
#include "muster/muster.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool memory_is_ours = false;  // sanitizers keep what was freed
#else
constexpr bool memory_is_ours = true;
#endif

namespace {

using namespace muster;
using test::Data;

constexpr std::uint64_t num_samples = 240;
constexpr std::uint64_t num_epochs = 4;  // seen again and again, so that pixels can be compared
constexpr std::uint64_t replaced_id = 7;
constexpr int max_workers = 3;
constexpr Size out_size{32, 24};

void expect(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

/// JPEGs of every kind; of twenty one ends early, one is no image.
Data made_sample(std::uint64_t id) {
  const auto side = static_cast<std::int64_t>(40 + id % 23);
  const Image image =
      test::picture({side, side + static_cast<std::int64_t>(id % 11)}, 3, static_cast<std::uint32_t>(id));
  const int kind = static_cast<int>(id % 6);
  Data bytes = test::write_jpeg(image, {.horizontal = kind % 2 + 1,
                                        .vertical = kind == 3 ? 2 : 1,
                                        .progressive = kind == 4,
                                        .restart_interval = kind == 5 ? 2 : 0,
                                        .orientation = id % 13 == 0 ? 6 : 0});
  if (id % 20 == 3) bytes.resize(bytes.size() / 2);
  if (id % 20 == 13) bytes = {'n', 'o', ' ', 'i', 'm', 'a', 'g', 'e'};
  return bytes;
}

bool is_damaged(std::uint64_t id) { return id % 20 == 3 || id % 20 == 13; }

std::string path_of(std::uint64_t id) {
  std::string number = std::to_string(id);
  number.insert(0, 4 - number.size(), '0');
  return "class" + std::to_string(id / 60) + "/" + number + ".jpg";
}

struct Usage {
  std::int64_t memory_bytes = 0;
  std::int64_t num_descriptors = 0;
  std::int64_t num_threads = 0;
};

std::int64_t entries_of(const char* folder) {
  const std::filesystem::directory_iterator entries(folder);
  return std::distance(begin(entries), end(entries));
}

Usage usage() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t total = 0;
  std::int64_t resident = 0;
  statm >> total >> resident;
  return {resident * sysconf(_SC_PAGESIZE), entries_of("/proc/self/fd"), entries_of("/proc/self/task")};
}

/// The files, and the same bytes in memory.
struct World {
  World() {
    std::vector<Sample> samples;
    for (std::uint64_t id = 0; id < num_samples; ++id) {
      Sample sample;
      sample.bytes = made_sample(id);
      sample.label = static_cast<std::int64_t>(id / 60);
      test::write_file(folder.path() / "data" / path_of(id), sample.bytes);
      samples.push_back(std::move(sample));
    }
    replaced_bytes = samples[replaced_id].bytes;
    memory = std::make_shared<MemorySource>(std::move(samples));
  }

  void replace(bool by_garbage) const {
    const auto path = folder.path() / "data" / path_of(replaced_id);
    const auto beside = folder.path() / "beside";
    test::write_file(beside, by_garbage ? Data{0xFF, 0xD8, 0xFF} : replaced_bytes);
    std::filesystem::rename(beside, path);
  }

  test::TempDir folder;
  std::shared_ptr<const Source> memory;
  Data replaced_bytes;
};

class Soak {
 public:
  explicit Soak(std::uint64_t num_batches) : num_batches_(num_batches) {}

  void run() {
    std::printf("%10s %10s %10s %8s %8s %10s %10s %10s\n", "batches", "images", "incidents", "raised", "loaders",
                "RSS MB", "fds", "threads");
    while (batches_seen_ < num_batches_) {
      live();
      ++num_loaders_;
      sample_usage();
    }
    compare_halves();
    std::printf("flat: %llu batches, %llu images, %llu incidents, %llu errors raised, %llu loaders\n",
                static_cast<unsigned long long>(batches_seen_), static_cast<unsigned long long>(images_seen_),
                static_cast<unsigned long long>(num_incidents_), static_cast<unsigned long long>(num_raised_),
                static_cast<unsigned long long>(num_loaders_));
  }

 private:
  /// The second half needs no more than the first did.
  void compare_halves() const {
    expect(usages_.size() >= 4, "the soak is too short to compare anything");
    const auto middle = usages_.begin() + static_cast<std::ptrdiff_t>(usages_.size() / 2);
    const auto most = [&](auto begin, auto end, std::int64_t Usage::*member) {
      const auto less = [&](const Usage& a, const Usage& b) { return a.*member < b.*member; };
      return (*std::max_element(begin, end, less)).*member;
    };
    const auto growth = [&](std::int64_t Usage::*member) {
      return most(middle, usages_.end(), member) - most(usages_.begin(), middle, member);
    };
    expect(growth(&Usage::num_descriptors) <= 0, "file descriptors became more");
    // oneTBB keeps the workers that it once made; when it makes one is its own choice.
    const std::int64_t max_threads = 1 + std::int64_t{std::thread::hardware_concurrency()} + max_workers;
    expect(most(usages_.begin(), usages_.end(), &Usage::num_threads) <= max_threads, "threads became more");
    constexpr std::int64_t slack = std::int64_t{3} << 20;  // of the allocator, whose threads come and go
    if (memory_is_ours) expect(growth(&Usage::memory_bytes) <= slack, "memory grew");
  }

  std::uint64_t draw(std::uint64_t count) { return random_() % count; }

  std::shared_ptr<const Source> source() {
    const auto data = world_.folder.path() / "data";
    switch (draw(3)) {
      case 0:
        return std::make_shared<ImageFolder>(data);
      case 1:
        return std::make_shared<ImageFolder>(data, ImageFolderOptions{.index = world_.folder.path() / "index"});
      default:
        return world_.memory;
    }
  }

  LoaderOptions options() {
    constexpr std::array last_batch = {LastBatch::partial, LastBatch::pad, LastBatch::drop, LastBatch::wrap};
    constexpr std::array on_error = {OnError::mask, OnError::substitute, OnError::raise};
    return {.batch_size = static_cast<std::int64_t>(1 + draw(16)),
            .shuffle = true,
            .seed = 5,
            .last_batch = last_batch[draw(last_batch.size())],
            .on_error = on_error[draw(on_error.size())],
            .layout = draw(2) == 0 ? Layout::nchw : Layout::nhwc,
            .num_threads = static_cast<int>(1 + draw(max_workers)),
            .prefetch = static_cast<int>(1 + draw(4)),
            .num_io_threads = static_cast<int>(4 * draw(2)),
            .max_bytes_in_flight = static_cast<std::int64_t>(2000 + draw(100'000))};
  }

  /// One loader's life.
  void live() {
    Loader loader{source(), pipeline_, options()};
    const std::uint64_t wanted = std::min(num_batches_, batches_seen_ + 50 + draw(600));
    const std::uint64_t max_raised = num_raised_ + 200;  // a policy that raises may show little
    std::string state;
    while (batches_seen_ < wanted && num_raised_ < max_raised) {
      world_.replace(draw(2) == 0);
      try {
        EpochRange range = !state.empty() && draw(2) == 0 ? loader.resume(state) : loader.epoch(draw(num_epochs));
        if (draw(8) == 0) {
          EpochRange other = loader.epoch(draw(num_epochs));
          consume(loader, other, 3);
        }
        const bool whole = draw(4) != 0;
        consume(loader, range, whole ? ~std::uint64_t{0} : draw(20));
        state = range.epoch() + 1 < num_epochs ? loader.state() : "";
      } catch (const Error&) {
        ++num_raised_;
        state.clear();
      }
      if (draw(4) == 0) loader.sample(draw(num_epochs), 0);
    }
    expect(loader.report().num_batches > 0 || loader.options().on_error == OnError::raise, "nothing was reported");
  }

  void consume(const Loader& loader, EpochRange& range, std::uint64_t at_most) {
    for (std::uint64_t k = 0; k < at_most; ++k) {
      std::optional<Batch> batch = range.next();
      if (!batch) return;
      check(loader, *batch);
      ++batches_seen_;
      if (draw(3) == 0) held_.push_back(std::move(*batch));
      if (held_.size() > 10) held_.pop_front();
    }
  }

  void check(const Loader& loader, const Batch& batch) {
    const bool nchw = loader.options().layout == Layout::nchw;
    const std::int64_t n = batch.num_rows();
    expect(batch.images.shape() ==
               (nchw ? Shape{n, 3, out_size.height, out_size.width} : Shape{n, out_size.height, out_size.width, 3}),
           "a batch has another shape");
    expect(n <= loader.options().batch_size, "a batch is too large");
    for (std::int64_t k = 0; k < n; ++k) {
      const auto i = static_cast<std::size_t>(k);
      const std::uint64_t id = batch.ids[i];
      if (id == Batch::no_sample) continue;
      ++images_seen_;
      const bool valid = batch.valid.as<std::uint8_t>()[i] == 1;
      if (id == replaced_id) continue;  // at times garbage
      const bool substituted =
          std::any_of(batch.incidents.begin(), batch.incidents.end(), [&](const Incident& incident) {
            return incident.row == batch.rows[i] && incident.outcome == Outcome::substituted;
          });
      if (substituted) continue;
      expect(valid != is_damaged(id), "a row is valid that should not be, or the other way round");
      if (!valid) continue;
      const auto pixels = batch.images.row(k);
      const std::uint32_t checksum = test::crc32({reinterpret_cast<const std::uint8_t*>(pixels.data()), pixels.size()});
      const auto [seen, is_new] = checksums_.try_emplace({nchw, batch.epoch, id}, checksum);
      expect(seen->second == checksum, "a row has other pixels than the first time");
    }
    num_incidents_ += batch.incidents.size();
  }

  /// Between two loaders, when nothing is in progress.
  void sample_usage() {
    const Usage now = usage();
    usages_.push_back(now);
    if (batches_seen_ < next_line_) return;
    next_line_ = batches_seen_ + num_batches_ / 20;
    std::printf("%10llu %10llu %10llu %8llu %8llu %10.1f %10lld %10lld\n",
                static_cast<unsigned long long>(batches_seen_), static_cast<unsigned long long>(images_seen_),
                static_cast<unsigned long long>(num_incidents_), static_cast<unsigned long long>(num_raised_),
                static_cast<unsigned long long>(num_loaders_), static_cast<double>(now.memory_bytes) / 1e6,
                static_cast<long long>(now.num_descriptors), static_cast<long long>(now.num_threads));
    std::fflush(stdout);
  }

  std::uint64_t num_batches_;
  std::mt19937_64 random_{1};
  World world_;
  Pipeline pipeline_{RandomResizedCrop{.size = out_size}, RandomHorizontalFlip{}};
  std::map<std::array<std::uint64_t, 3>, std::uint32_t> checksums_;
  std::deque<Batch> held_;
  std::uint64_t batches_seen_ = 0;
  std::uint64_t images_seen_ = 0;
  std::uint64_t num_incidents_ = 0;
  std::uint64_t num_raised_ = 0;
  std::uint64_t num_loaders_ = 0;
  std::uint64_t next_line_ = 0;
  std::vector<Usage> usages_;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::uint64_t num_batches = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 2000;
    expect(num_batches >= 2000, "expected at least 2000 batches");
    Soak(num_batches).run();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "muster_soak: %s\n", error.what());
    return 1;
  }
}

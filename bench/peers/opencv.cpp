// Plain OpenCV on threads: every image is a task, written into its place in one of a few batches that are reused.
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>

#include "image_job.hpp"

namespace {

using namespace peers;

constexpr std::size_t num_slots = 4;  // batches in memory: two ahead, one in work, one with the consumer

class Loader {
 public:
  explicit Loader(Job job) : job_(std::move(job)), files_(list_files(job_.dir)), order_(files_.size()) {
    std::iota(order_.begin(), order_.end(), std::size_t{0});
    for (Slot& slot : slots_) {
      slot.images.resize(job_.batch_size * floats_per_image);
      slot.labels.resize(job_.batch_size);
    }
    for (int i = 0; i < job_.num_threads; ++i) jobs_.emplace_back(static_cast<unsigned>(i));
  }

  std::size_t run_epoch(int epoch) {
    std::mt19937 random(static_cast<unsigned>(epoch));
    std::shuffle(order_.begin(), order_.end(), random);
    next_ = 0;
    num_consumed_ = 0;
    for (Slot& slot : slots_) slot.num_done = 0;

    std::vector<std::jthread> threads;
    for (ImageJob& job : jobs_) threads.emplace_back([this, &job] { work(job); });
    std::size_t num_images = 0;
    for (std::size_t batch = 0; batch * job_.batch_size < files_.size(); ++batch) {
      Slot& slot = slots_[batch % num_slots];
      const std::size_t num_rows = std::min(job_.batch_size, files_.size() - batch * job_.batch_size);
      std::unique_lock lock(mutex_);
      done_.wait(lock, [&] { return slot.num_done == num_rows; });
      slot.num_done = 0;
      ++num_consumed_;
      num_images += num_rows;
      free_.notify_all();
    }
    return num_images;
  }

 private:
  struct Slot {
    std::vector<float> images;
    std::vector<std::int64_t> labels;
    std::size_t num_done = 0;
  };

  void work(ImageJob& job) {
    for (std::size_t row = next_++; row < files_.size(); row = next_++) {
      const std::size_t batch = row / job_.batch_size;
      {
        std::unique_lock lock(mutex_);
        free_.wait(lock, [&] { return batch < num_consumed_ + num_slots; });
      }
      Slot& slot = slots_[batch % num_slots];
      const std::size_t k = row % job_.batch_size;
      const File& file = files_[order_[row]];
      job.run(file.path, slot.images.data() + k * floats_per_image);
      slot.labels[k] = file.label;
      const std::size_t num_rows = std::min(job_.batch_size, files_.size() - batch * job_.batch_size);
      const std::lock_guard lock(mutex_);
      if (++slot.num_done == num_rows) done_.notify_one();
    }
  }

  Job job_;
  std::vector<File> files_;
  std::vector<std::size_t> order_;
  std::array<Slot, num_slots> slots_;
  std::vector<ImageJob> jobs_;

  std::atomic<std::size_t> next_ = 0;
  std::mutex mutex_;
  std::condition_variable done_;
  std::condition_variable free_;
  std::size_t num_consumed_ = 0;  // batches of this epoch
};

}  // namespace

int main(int argc, char** argv) try {
  cv::setNumThreads(1);  // the threads are ours
  const Job job = parse(argc, argv);
  Loader loader(job);
  measure("OpenCV, threads", job, [&](int epoch) { return loader.run_epoch(epoch); });
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}

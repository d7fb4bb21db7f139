// libtorch's C++ DataLoader over OpenCV: a worker makes a whole batch, each image written straight into its place,
// so that nothing is stacked or copied afterwards.
#include <atomic>
#include <cstdio>
#include <exception>

#include <torch/torch.h>

#include "image_job.hpp"

namespace {

using namespace peers;

class Folder : public torch::data::datasets::BatchDataset<Folder, torch::data::Example<>> {
 public:
  explicit Folder(std::vector<File> files) : files_(std::move(files)) {}

  torch::data::Example<> get_batch(c10::ArrayRef<std::size_t> indices) override {
    static std::atomic<unsigned> seed = 0;
    thread_local ImageJob job = [] {
      torch::set_num_threads(1);
      return ImageJob(seed++);
    }();
    const auto num_rows = static_cast<std::int64_t>(indices.size());
    torch::Tensor images = torch::empty({num_rows, 3, side, side});
    torch::Tensor labels = torch::empty({num_rows}, torch::kInt64);
    for (std::size_t k = 0; k < indices.size(); ++k) {
      const File& file = files_[indices[k]];
      job.run(file.path, images.data_ptr<float>() + k * floats_per_image);
      labels.data_ptr<std::int64_t>()[k] = file.label;
    }
    return {images, labels};
  }

  c10::optional<std::size_t> size() const override { return files_.size(); }

 private:
  std::vector<File> files_;
};

}  // namespace

int main(int argc, char** argv) try {
  cv::setNumThreads(1);
  torch::set_num_threads(1);
  const Job job = parse(argc, argv);
  std::vector<File> files = list_files(job.dir);
  const std::size_t num_files = files.size();
  auto loader = torch::data::make_data_loader(
      Folder(std::move(files)), torch::data::samplers::RandomSampler(static_cast<std::int64_t>(num_files)),
      torch::data::DataLoaderOptions(job.batch_size).workers(static_cast<std::size_t>(job.num_threads)));
  measure("libtorch DataLoader, OpenCV", job, [&](int) {
    std::size_t num_images = 0;
    for (const torch::data::Example<>& batch : *loader) num_images += static_cast<std::size_t>(batch.data.size(0));
    return num_images;
  });
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}

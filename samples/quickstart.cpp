// Quick start: from a folder of images to batches that always have the same shape.
//
//   quickstart [DIR]      DIR holds one folder for each class; without it, the sample makes some images itself.
#include <cstdio>
#include <memory>
#include <string>

#include "made_images.hpp"

// [quickstart]
#include <muster/muster.hpp>

template <class TrainStep>
void train(const std::string& folder, TrainStep train_step) {
  muster::Pipeline augment{
      muster::RandomResizedCrop{.size = {.height = 224, .width = 224}},
      muster::RandomHorizontalFlip{.p = 0.5},
      muster::Normalize{muster::imagenet_mean, muster::imagenet_stddev},
  };  // throws ConfigError here if the final size is open

  muster::Loader loader{muster::ImageFolder{folder},
                        augment,
                        {.batch_size = 64,
                         .shuffle = true,
                         .seed = 42,
                         .last_batch = muster::LastBatch::pad,
                         .on_error = muster::OnError::substitute,
                         .num_threads = 8}};  // never changes a byte

  loader.require({.batch_size = 64, .channels = 3, .height = 224, .width = 224});  // what the model expects

  for (std::uint64_t epoch = 0; epoch < 2; ++epoch)
    for (muster::Batch& batch : loader.epoch(epoch))  // errors of workers rethrow here
      // images: float32 {64, 3, 224, 224}   labels: int64 {64}   valid: uint8 {64}
      train_step(batch);
}
// [/quickstart]

int main(int argc, char** argv) {
  std::unique_ptr<MadeFolder> made;
  if (argc < 2) made = std::make_unique<MadeFolder>(100);
  const std::string folder = argc < 2 ? made->path() : argv[1];

  int num_batches = 0;
  bool right = true;
  train(folder, [&](muster::Batch& batch) {
    std::printf("epoch %d  batch %d  %s\n", static_cast<int>(batch.epoch), static_cast<int>(batch.index),
                batch.images.shape().to_string().c_str());
    right = right && batch.images.shape() == muster::Shape{64, 3, 224, 224} &&
            batch.images.dtype() == muster::DType::float32 && batch.labels.shape() == muster::Shape{64};
    ++num_batches;
  });
  if (!right || num_batches == 0) {
    std::fputs("a batch came out in another shape\n", stderr);
    return 1;
  }
}

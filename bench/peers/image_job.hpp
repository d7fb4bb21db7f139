// The job that the C++ peers do: RandomResizedCrop(224), flip, normalise, float32 NCHW, with OpenCV alone.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>

namespace peers {

constexpr int side = 224;
constexpr std::size_t floats_per_image = 3 * side * side;

struct Job {
  std::string dir;
  int num_threads = 2;
  int num_epochs = 3;  // after one to warm up
  std::size_t batch_size = 64;
};

/// DIR THREADS EPOCHS
inline Job parse(int argc, char** argv) {
  if (argc != 4) throw std::runtime_error("usage: DIR THREADS EPOCHS");
  return {argv[1], std::stoi(argv[2]), std::stoi(argv[3])};
}

struct File {
  std::string path;
  std::int64_t label = 0;
};

/// DIR/class/image, in the order of the names.
inline std::vector<File> list_files(const std::string& dir) {
  namespace fs = std::filesystem;
  std::vector<fs::path> classes;
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.is_directory()) classes.push_back(entry.path());
  }
  std::sort(classes.begin(), classes.end());
  std::vector<File> files;
  for (std::size_t label = 0; label < classes.size(); ++label) {
    const std::size_t first = files.size();
    for (const auto& entry : fs::recursive_directory_iterator(classes[label])) {
      if (entry.is_regular_file()) files.push_back({entry.path(), static_cast<std::int64_t>(label)});
    }
    std::sort(files.begin() + static_cast<std::ptrdiff_t>(first), files.end(),
              [](const File& a, const File& b) { return a.path < b.path; });
  }
  return files;
}

/// As torchvision draws it.
inline cv::Rect random_resized_crop(cv::Size size, std::mt19937& random) {
  const auto uniform = [&](double low, double high) { return std::uniform_real_distribution<>(low, high)(random); };
  const double area = static_cast<double>(size.area());
  for (int i = 0; i < 10; ++i) {
    const double target = area * uniform(0.08, 1.0);
    const double aspect = std::exp(uniform(std::log(3.0 / 4.0), std::log(4.0 / 3.0)));
    const int width = static_cast<int>(std::nearbyint(std::sqrt(target * aspect)));
    const int height = static_cast<int>(std::nearbyint(std::sqrt(target / aspect)));
    if (width <= 0 || height <= 0 || width > size.width || height > size.height) continue;
    const int y = std::uniform_int_distribution<>(0, size.height - height)(random);
    const int x = std::uniform_int_distribution<>(0, size.width - width)(random);
    return {x, y, width, height};
  }
  const double aspect = std::clamp(static_cast<double>(size.width) / size.height, 3.0 / 4.0, 4.0 / 3.0);
  const int width = std::min(size.width, static_cast<int>(std::nearbyint(size.height * aspect)));
  const int height = std::min(size.height, static_cast<int>(std::nearbyint(size.width / aspect)));
  return {(size.width - width) / 2, (size.height - height) / 2, width, height};
}

/// Buffers of one thread, reused from image to image.
class ImageJob {
 public:
  explicit ImageJob(unsigned seed) : random_(seed) {}

  /// Fills `planes`, float32 {3, 224, 224} in the order red, green, blue. The normalisation is one multiply-add,
  /// written straight into its place.
  void run(const std::string& path, float* planes) {
    const cv::Mat image = cv::imread(path, cv::IMREAD_COLOR);
    if (image.empty()) throw std::runtime_error("cannot decode " + path);
    cv::resize(image(random_resized_crop(image.size(), random_)), resized_, {side, side}, 0, 0, cv::INTER_LINEAR);
    const bool flip = std::bernoulli_distribution(0.5)(random_);
    if (flip) cv::flip(resized_, flipped_, 1);
    cv::split(flip ? flipped_ : resized_, channels_);  // blue, green, red
    constexpr double mean[] = {0.485, 0.456, 0.406};
    constexpr double stddev[] = {0.229, 0.224, 0.225};
    for (int c = 0; c < 3; ++c) {
      cv::Mat plane(side, side, CV_32F, planes + c * side * side);
      channels_[2 - c].convertTo(plane, CV_32F, 1 / (255 * stddev[c]), -mean[c] / stddev[c]);
    }
  }

 private:
  std::mt19937 random_;
  cv::Mat resized_;
  cv::Mat flipped_;
  cv::Mat channels_[3];
};

/// Runs epochs and prints their rates as one line of JSON. `run_epoch` returns the number of images it delivered.
template <class RunEpoch>
void measure(std::string_view peer, const Job& job, const RunEpoch& run_epoch) {
  std::string rates;
  std::size_t num_images = 0;
  for (int epoch = 0; epoch <= job.num_epochs; ++epoch) {
    const auto start = std::chrono::steady_clock::now();
    num_images = run_epoch(epoch);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    if (epoch == 0) continue;
    if (!rates.empty()) rates += ", ";
    rates += std::to_string(static_cast<double>(num_images) / seconds.count());
  }
  std::printf("{\"peer\": \"%s\", \"images\": %zu, \"images_per_second\": [%s]}\n", std::string(peer).c_str(),
              num_images, rates.c_str());
}

}  // namespace peers

// OpenCV's side of blob_view(): what cv::Mat sees, and what its dnn module computes from it.
#include "muster/interop/opencv.hpp"

#include <doctest/doctest.h>

#include <opencv2/dnn.hpp>

#include "loader_support.hpp"
#include "small_onnx_model.hpp"

namespace muster::test {
namespace {

/// Takes an rvalue only if somebody would own its memory.
template <class T>
concept Viewable = requires(T&& tensor) {
  blob_view(std::forward<T>(tensor));
};

std::vector<float> noise(std::int64_t size, std::uint64_t seed) {
  Rng rng(seed, 0, 0, Stream::synth);
  std::vector<float> values(static_cast<std::size_t>(size));
  for (float& value : values) value = static_cast<float>(rng.uniform(-1, 1));
  return values;
}

/// Nothing in it is symmetric, so that no two axes can be taken for each other.
SmallModel noise_model() {
  SmallModel model{.channels = 3, .num_filters = 5, .kernel_height = 5, .kernel_width = 3, .num_classes = 4};
  model.filters = noise(5 * 3 * 5 * 3, 1);
  model.filter_biases = noise(5, 2);
  model.linear = noise(4 * 5, 3);
  model.linear_biases = noise(4, 4);
  return model;
}

}  // namespace

TEST_CASE("opencv: a blob has the batch's shape, type and memory") {
  const std::pair<DType, int> depths[] = {{DType::uint8, CV_8U}, {DType::float16, CV_16F}, {DType::float32, CV_32F}};
  for (const auto& [dtype, depth] : depths) {
    CAPTURE(name(dtype));
    Tensor tensor = Tensor::allocate(dtype, {2, 3, 5, 7});
    const cv::Mat blob = blob_view(tensor);
    CHECK(blob.dims == 4);
    CHECK(std::vector<int>(blob.size.p, blob.size.p + 4) == std::vector<int>{2, 3, 5, 7});
    CHECK(blob.type() == CV_MAKETYPE(depth, 1));
    CHECK(blob.isContinuous());
    CHECK(blob.data == reinterpret_cast<const unsigned char*>(tensor.data()));
    CHECK(blob.total() * blob.elemSize() == tensor.size_bytes());
    CHECK(blob.ptr(1) == reinterpret_cast<const unsigned char*>(tensor.row(1).data()));
  }
  static_assert(Viewable<Tensor&> && !Viewable<Tensor>);
}

TEST_CASE("opencv: types and shapes that cv::Mat does not have are refused") {
  Tensor half = Tensor::allocate(DType::bfloat16, {1, 3, 2, 2});
  CHECK_THROWS_WITH_AS(blob_view(half),
                       "[blob_view] expected uint8, float16 or float32, received bfloat16, which cv::Mat does not "
                       "have; set LoaderOptions::dtype",
                       ConfigError);
  Tensor labels = Tensor::allocate(DType::int64, {4, 1, 1, 1});
  CHECK_THROWS_AS(blob_view(labels), ConfigError);
  Tensor flat = Tensor::allocate(DType::uint8, {4});
  CHECK_THROWS_WITH_AS(blob_view(flat), "[blob_view] expected four dimensions of at most 2147483647, received {4}",
                       ShapeError);
  Tensor empty;
  CHECK_THROWS_AS(blob_view(empty), ShapeError);
  Tensor wide(DType::uint8, {1, 1, 0, std::int64_t{1} << 31}, nullptr);
  CHECK_THROWS_AS(blob_view(wide), ShapeError);
}

TEST_CASE("opencv: a network gives the scores that plain arithmetic gives") {
  const TempDir dir;
  const SmallModel model = noise_model();
  const Size size{11, 14};
  const std::string path = (dir.path() / "model.onnx").string();
  model.write(path, 3, size);
  cv::dnn::Net net = cv::dnn::readNetFromONNX(path);

  Loader loader{NoiseSource{9}, {Resize{size}, Normalize{imagenet_mean, imagenet_stddev}}, {.batch_size = 3}};
  int num_rows = 0;
  for (Batch& batch : loader.epoch(0)) {
    net.setInput(blob_view(batch.images));
    const cv::Mat scores = net.forward();
    REQUIRE(scores.dims == 2);
    REQUIRE(scores.rows == 3);
    REQUIRE(scores.cols == 4);
    for (int row = 0; row < 3; ++row) {
      const auto image = batch.images.as<float>().subspan(static_cast<std::size_t>(row) * 3 * 11 * 14, 3 * 11 * 14);
      const std::vector<double> expected = model.scores(image, size);
      for (int k = 0; k < 4; ++k) {
        CHECK(static_cast<double>(scores.at<float>(row, k)) ==
              doctest::Approx(expected[static_cast<std::size_t>(k)]).epsilon(1e-4));
      }
      ++num_rows;
    }
  }
  CHECK(num_rows == 9);
}

TEST_CASE("opencv: setInput() copies, so the batch may go before forward()") {
  const TempDir dir;
  const SmallModel model = noise_model();
  const std::string path = (dir.path() / "model.onnx").string();
  model.write(path, 1, {6, 8});
  cv::dnn::Net net = cv::dnn::readNetFromONNX(path);
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    Tensor images = Tensor::allocate(DType::float32, {1, 3, 6, 8});
    const std::vector<float> values = noise(3 * 6 * 8, seed);
    std::ranges::copy(values, images.as<float>().begin());
    net.setInput(blob_view(images));
    std::ranges::fill(images.as<float>(), 1e6f);
    images = Tensor();
    const cv::Mat scores = net.forward();
    CHECK(static_cast<double>(scores.at<float>(0, 2)) ==
          doctest::Approx(model.scores(values, {6, 8})[2]).epsilon(1e-4));
  }
}

}  // namespace muster::test

// Inference: images through an ONNX model in OpenCV's dnn module, every one of them exactly once.
//
//   sample_infer_opencv_dnn [MODEL.onnx DIR [BATCH_SIZE]]
//
// MODEL takes float32 {BATCH_SIZE, 3, 224, 224}, normalised as for ImageNet; DIR holds CLASS/image.jpg. Without
// arguments, the sample makes images and a model that tells their colours apart, and compares the model's scores with
// its own arithmetic.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include <opencv2/dnn.hpp>

#include "made_shapes.hpp"
#include "small_onnx_model.hpp"

#include <muster/interop/opencv.hpp>
#include <muster/muster.hpp>

/// An image and what the model says of it.
using OnScores =
    std::function<void(const std::string& name, std::span<const float> image, std::span<const float> scores)>;

void infer(const std::string& model, const std::filesystem::path& folder, const muster::Pipeline& pipeline,
           std::int64_t batch_size, const OnScores& on_scores) {
  muster::Loader loader{muster::ImageFolder{folder},
                        pipeline,
                        {.batch_size = batch_size,
                         .last_batch = muster::LastBatch::pad,  // the network sees one shape only
                         .on_error = muster::OnError::mask,
                         .dtype = muster::DType::float32,
                         .exactly_once = true}};
  cv::dnn::Net net = cv::dnn::readNetFromONNX(model);
  for (muster::Batch& batch : loader.epoch(0)) {
    net.setInput(muster::blob_view(batch.images));  // a view; the network makes its own copy
    const cv::Mat scores = net.forward();
    if (scores.dims != 2 || scores.rows != static_cast<int>(batch_size) || scores.type() != CV_32F ||
        !scores.isContinuous()) {
      throw std::runtime_error("expected a model that gives float32 {n, classes}");
    }
    const auto row_size = batch.images.row(0).size() / sizeof(float);
    for (std::size_t i = 0; i < batch.ids.size(); ++i) {
      if (batch.valid.as<std::uint8_t>()[i] == 0) continue;  // a filler, or an image that cannot be decoded
      on_scores(loader.source().name(batch.ids[i]), batch.images.as<float>().subspan(i * row_size, row_size),
                {scores.ptr<float>(static_cast<int>(i)), static_cast<std::size_t>(scores.cols)});
    }
  }
  const muster::Ledger ledger = loader.ledger(0);
  const muster::LedgerVerdict verdict = check(ledger, *loader.options().order);
  std::printf("%s\n", verdict.to_string().c_str());
  for (const muster::Incident& incident : loader.report().incidents) std::printf("%s\n", incident.to_json().c_str());
  if (verdict.num_repeated > 0 || verdict.num_missing != ledger.exceptions.size()) {
    throw std::runtime_error("an image that can be decoded was left out, or came twice");
  }
}

/// How much more there is of blue, green and red than of the other two, where that is much; averaged over 3 × 3 pixels.
SmallModel colour_model() {
  SmallModel model{.num_filters = 3, .num_classes = 3, .filter_biases = {-0.42f, -0.42f, -0.42f}};
  for (std::int64_t colour = 0; colour < 3; ++colour) {
    for (std::int64_t channel = 0; channel < 3; ++channel) {
      model.filters.insert(model.filters.end(), 9, (channel == 2 - colour ? 1.0f : -0.5f) / 9);
      model.linear.push_back(channel == colour ? 100.0f : 0.0f);
    }
  }
  model.linear_biases = {0, 0, 0};
  return model;
}

/// False if the network computes something else than we do, or takes a colour for another.
bool infer_made() {
  constexpr muster::Size size{48, 48};
  constexpr std::int64_t batch_size = 4;
  const MadeShapes made(0, 2);
  const SmallModel model = colour_model();
  const std::string path = (made.path() / "colours.onnx").string();
  model.write(path, batch_size, size);

  const std::string colours[] = {"blue", "green", "red"};
  int num_images = 0;
  bool right = true;
  infer(path, made.path() / "val", muster::Pipeline{muster::Resize{size}, muster::ToFloat{}}, batch_size,
        [&](const std::string& name, std::span<const float> image, std::span<const float> scores) {
          std::printf("%-28s blue %6.2f  green %6.2f  red %6.2f\n", name.c_str(), scores[0], scores[1], scores[2]);
          const std::vector<double> expected = model.scores(image, size);
          for (std::size_t k = 0; k < expected.size(); ++k) {
            right = right && std::abs(static_cast<double>(scores[k]) - expected[k]) < 1e-4 * (1 + expected[k]);
          }
          right = right && name.starts_with(colours[std::ranges::max_element(scores) - scores.begin()]);
          ++num_images;
        });
  return right && num_images == 18;
}

int main(int argc, char** argv) try {
  if (argc == 1) {
    if (infer_made()) return 0;
    std::fputs("the scores are not what they should be\n", stderr);
    return 1;
  }
  if (argc < 3 || argc > 4) throw std::invalid_argument("usage: sample_infer_opencv_dnn [MODEL.onnx DIR [BATCH_SIZE]]");
  infer(argv[1], argv[2], muster::Pipeline::preset("imagenet-eval"), argc > 3 ? std::stoll(argv[3]) : 1,
        [](const std::string& name, std::span<const float>, std::span<const float> scores) {
          const auto best = std::ranges::max_element(scores);
          std::printf("%s: class %d, score %.4f\n", name.c_str(), static_cast<int>(best - scores.begin()), *best);
        });
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}

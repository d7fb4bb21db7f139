// Training with libtorch: a small convolutional network on a folder of images.
//
//   sample_train_libtorch [DIR] [--epochs N] [--batch-size N] [--size N]
//
// `usage` below says what they are.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "made_shapes.hpp"

#include <muster/interop/torch.hpp>
#include <muster/muster.hpp>

constexpr const char* usage =
    "usage: sample_train_libtorch [DIR] [--epochs N] [--batch-size N] [--size N]\n"
    "\n"
    "  DIR             holds train/CLASS/image.jpg and val/CLASS/image.jpg, or just CLASS/image.jpg, of which every\n"
    "                  fifth image is held out; without it, coloured shapes are made, which have to be learned\n"
    "  --epochs N      [8]\n"
    "  --batch-size N  [64, or all images if there are fewer]\n"
    "  --size N        height and width of what the network sees [48]\n";

struct Options {
  std::filesystem::path folder;  // empty: made images
  std::int64_t epochs = 8;
  std::optional<std::int64_t> batch_size;  // as usage says if there is none
  std::int64_t size = 48;                  // height and width of what the network sees
  bool help = false;
};

/// Three times convolution, normalisation and pooling; then the mean over what is left, and a linear layer.
class NetImpl : public torch::nn::Module {
 public:
  NetImpl(std::int64_t size, std::int64_t num_classes) : size_(size) {
    namespace nn = torch::nn;
    std::int64_t channels = 3;
    for (const std::int64_t width : {16, 32, 64}) {
      layers_->push_back(nn::Conv2d(nn::Conv2dOptions(channels, width, 3).padding(1).bias(false)));
      layers_->push_back(nn::BatchNorm2d(width));
      layers_->push_back(nn::ReLU());
      layers_->push_back(nn::MaxPool2d(2));
      channels = width;
    }
    layers_->push_back(nn::AvgPool2d(size / 8));
    layers_->push_back(nn::Flatten());
    layers_->push_back(nn::Linear(channels, num_classes));
    register_module("layers", layers_);
  }

  torch::Tensor forward(const torch::Tensor& images) { return layers_->forward(images); }

  /// What the first convolution and the last pooling take, for any number of rows.
  muster::InputSpec expects() const {
    return {.batch_size = muster::any,
            .channels = 3,
            .height = size_,
            .width = size_,
            .dtype = muster::DType::float32,
            .layout = muster::Layout::nchw};
  }

 private:
  std::int64_t size_;
  torch::nn::Sequential layers_;
};
TORCH_MODULE(Net);

struct Data {
  muster::Loader train;
  muster::Loader held_out;
};

/// What one of them has and the other has not: "train/ lacks cat, dog".
std::string lacks(const char* folder, const std::vector<std::string>& classes, const std::vector<std::string>& others) {
  std::string text;
  for (const std::string& name : others) {
    if (std::ranges::find(classes, name) != classes.end()) continue;
    text += (text.empty() ? std::string("; ") + folder + " lacks " : ", ") + name;
  }
  return text;
}

Data open(const Options& options) {
  std::shared_ptr<const muster::Source> train;
  std::shared_ptr<const muster::Source> held_out;
  std::vector<std::uint64_t> not_in_train;  // ids, where both loaders share one source
  std::vector<std::uint64_t> not_in_held_out;
  if (std::filesystem::is_directory(options.folder / "train") &&
      std::filesystem::is_directory(options.folder / "val")) {
    train = std::make_shared<muster::ImageFolder>(options.folder / "train");
    held_out = std::make_shared<muster::ImageFolder>(options.folder / "val");
    if (train->classes() != held_out->classes()) {
      throw std::runtime_error("train/ and val/ have different classes, so their labels would not agree" +
                               lacks("train/", train->classes(), held_out->classes()) +
                               lacks("val/", held_out->classes(), train->classes()));
    }
  } else {
    train = held_out = std::make_shared<muster::ImageFolder>(options.folder);
    for (std::uint64_t id = 0; id < train->size(); ++id) (id % 5 == 4 ? not_in_train : not_in_held_out).push_back(id);
  }

  const auto num_images = static_cast<std::int64_t>(train->size() - not_in_train.size());
  const std::int64_t batch_size = options.batch_size.value_or(std::clamp<std::int64_t>(num_images, 1, 64));
  const muster::Size size{options.size, options.size};
  const muster::Normalize normalize{muster::imagenet_mean, muster::imagenet_stddev};
  return {
      .train = {train,
                muster::Pipeline{muster::RandomResizedCrop{.size = size, .scale = {0.6, 1.0}},
                                 muster::RandomHorizontalFlip{}, normalize},
                {.batch_size = batch_size,
                 .shuffle = true,
                 .seed = 42,
                 .last_batch = muster::LastBatch::drop,    // every step sees as many rows
                 .on_error = muster::OnError::substitute,  // valid = 0 only where all that were drawn are damaged
                 .exclude = std::move(not_in_train)}},
      .held_out = {held_out,
                   muster::Pipeline{muster::Resize{size}, normalize},
                   {.batch_size = batch_size,
                    .last_batch = muster::LastBatch::pad,  // rows that are no images have valid = 0
                    .on_error = muster::OnError::mask,
                    .exclude = std::move(not_in_held_out),
                    .exactly_once = true}},
  };
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Figures {
  double loss = 0;            // mean over the images
  std::int64_t num_rows = 0;  // that are images
  double seconds = 0;
  double waited = 0;  // of them, for the next batch
};

Figures train_epoch(Net& net, torch::optim::Adam& optimizer, muster::Loader& loader, std::uint64_t epoch) {
  Figures figures;
  net->train();
  const auto start = Clock::now();
  muster::EpochRange range = loader.epoch(epoch);
  while (true) {
    const auto asked = Clock::now();
    std::optional<muster::Batch> batch = range.next();
    figures.waited += seconds_since(asked);
    if (!batch) break;

    const auto [images, labels, valid] = muster::to_torch(std::move(*batch));  // no copy
    const auto num_images = valid.sum().item<std::int64_t>();
    if (num_images == 0) continue;
    optimizer.zero_grad();
    // A row that is no image has label -1.
    namespace nn = torch::nn::functional;
    const torch::Tensor loss =
        nn::cross_entropy(net->forward(images), labels, nn::CrossEntropyFuncOptions().ignore_index(-1));
    loss.backward();
    optimizer.step();
    figures.loss += loss.item<double>() * static_cast<double>(num_images);
    figures.num_rows += num_images;
  }
  if (figures.num_rows == 0) throw std::runtime_error("none of the images to train on can be decoded");
  figures.seconds = seconds_since(start);
  figures.loss /= static_cast<double>(figures.num_rows);
  return figures;
}

/// Share of the held-out images that the network gets right. Each counts once, which the ledger proves; those that
/// cannot be decoded are exceptions in it, and do not count.
double accuracy(Net& net, muster::Loader& loader, std::uint64_t epoch) {
  const torch::NoGradGuard no_gradients;
  net->eval();
  std::int64_t num_right = 0;
  std::int64_t num_rows = 0;
  for (muster::Batch& batch : loader.epoch(epoch)) {
    const auto [images, labels, valid] = muster::to_torch(std::move(batch));
    const torch::Tensor right = net->forward(images).argmax(1).eq(labels).logical_and(valid);
    num_right += right.sum().item<std::int64_t>();
    num_rows += valid.sum().item<std::int64_t>();
  }
  const muster::Ledger ledger = loader.ledger(epoch);
  const muster::LedgerVerdict verdict = check(ledger, *loader.options().order);
  if (verdict.num_repeated > 0 || verdict.num_missing != ledger.exceptions.size()) {
    throw std::runtime_error("held-out images: " + verdict.to_string());
  }
  if (num_rows == 0) throw std::runtime_error("none of the held-out images can be decoded");
  return static_cast<double>(num_right) / static_cast<double>(num_rows);
}

/// Images that could not be decoded were replaced in training and left out of the accuracy: not in silence.
void print_incidents(const char* what, const muster::Report& report) {
  if (!report.incidents.empty()) std::printf("%s: %s\n", what, report.to_string().c_str());
}

/// The accuracy after the last epoch.
double run(const Options& options) {
  Data data = open(options);
  const std::vector<std::string>& classes = data.train.source().classes();
  torch::manual_seed(1);
  Net net(options.size, static_cast<std::int64_t>(classes.size()));
  data.train.require(net->expects());  // throws here, not in the first convolution
  data.held_out.require(net->expects());

  constexpr double first_rate = 4e-3;
  torch::optim::Adam optimizer(net->parameters(), first_rate);
  std::printf("%zu classes, %llu images to train, %llu held out, batches of %s\n\n", classes.size(),
              static_cast<unsigned long long>(data.train.num_rows()),
              static_cast<unsigned long long>(data.held_out.num_rows()), data.train.spec().shape().to_string().c_str());
  std::printf("epoch    loss  held out  images/s   trained  waited for data\n");
  Figures total;
  double right = 0;
  for (std::int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const double left = 1 - static_cast<double>(epoch) / static_cast<double>(options.epochs);
    for (auto& group : optimizer.param_groups()) group.options().set_lr(first_rate * left);
    const Figures figures = train_epoch(net, optimizer, data.train, static_cast<std::uint64_t>(epoch));
    right = accuracy(net, data.held_out, static_cast<std::uint64_t>(epoch));
    std::printf("%5d  %6.4f   %5.1f %%  %8.0f  %6.1f s  %6.2f s  %5.1f %%\n", static_cast<int>(epoch), figures.loss,
                100 * right, static_cast<double>(figures.num_rows) / figures.seconds, figures.seconds, figures.waited,
                100 * figures.waited / figures.seconds);
    std::fflush(stdout);
    total.seconds += figures.seconds;
    total.waited += figures.waited;
  }
  std::printf("\ntrained for %.1f s, of which %.1f s (%.1f %%) went into waiting for data\n", total.seconds,
              total.waited, 100 * total.waited / total.seconds);
  print_incidents("training", data.train.report());
  print_incidents("held out", data.held_out.report());
  return right;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    if (name == "-h" || name == "--help") {
      options.help = true;
      return options;
    }
    std::int64_t* const number = name == "--epochs"       ? &options.epochs
                                 : name == "--batch-size" ? &options.batch_size.emplace()
                                 : name == "--size"       ? &options.size
                                                          : nullptr;
    if (number == nullptr) {
      if (name.starts_with("-") || !options.folder.empty())
        throw std::invalid_argument("unexpected " + name + "\n" + usage);
      options.folder = name;
      continue;
    }
    const std::string value = ++i < argc ? argv[i] : "";
    const std::int64_t least = number == &options.size ? 8 : 1;  // three times halved, a pixel is left
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), *number);
    if (error != std::errc() || end != value.data() + value.size() || *number < least) {
      throw std::invalid_argument("expected a whole number of at least " + std::to_string(least) + " after " + name +
                                  ", received '" + value + "'");
    }
  }
  return options;
}

int main(int argc, char** argv) try {
  Options options = parse(argc, argv);
  if (options.help) {
    std::fputs(usage, stdout);
    return 0;
  }
  const bool is_made = options.folder.empty();
  std::unique_ptr<MadeShapes> made;
  if (is_made) {
    made = std::make_unique<MadeShapes>(400, 100);
    options.folder = made->path();
  }
  const double right = run(options);
  std::printf("held-out accuracy %.4f\n", right);
  if (is_made && right < 0.95) {
    std::fputs("expected an accuracy of 0.95: it should have learned more\n", stderr);
    return 1;
  }
} catch (const c10::Error& error) {
  std::fprintf(stderr, "%s\n", error.what_without_backtrace());
  return 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}

// Stages of your own. Two kinds work on pixels:
//   Invert    draw() decides, apply() acts. What was drawn can be replayed without pixels.
//   Speckle   one call that draws as it goes: "opaque", since its plan is known only by running it.
// Both say what they do to sizes, so the shape is still proved before any image is opened.
#include <cstdio>
#include <cstring>
#include <vector>

#include "made_images.hpp"

/// Turns an image into its negative with probability p.
struct Invert {
  double p = 0.5;

  muster::Extent output_extent(const muster::Extent& in) const { return in; }
  bool draw(muster::Size, muster::Rng& rng) const { return rng.bernoulli(p); }
  void apply(muster::Image& image, bool inverted) const {
    if (!inverted) return;
    for (std::size_t i = 0; i < image.size_bytes(); ++i)
      image.data()[i] = static_cast<std::uint8_t>(255 - image.data()[i]);
  }
};

/// Sets single values to white.
struct Speckle {
  int count = 50;

  muster::Extent output_extent(const muster::Extent& in) const { return in; }
  muster::Image operator()(muster::Image image, muster::Rng& rng) const {
    for (int i = 0; i < count; ++i) {
      image.data()[rng.uniform_int(0, static_cast<std::int64_t>(image.size_bytes()) - 1)] = 255;
    }
    return image;
  }
};

/// Claims to keep the size, and does not.
struct Liar {
  muster::Extent output_extent(const muster::Extent& in) const { return in; }
  muster::Image operator()(muster::Image, muster::Rng&) const { return made_image({10, 10}, 0); }
};

muster::MemorySource made_source() {
  std::vector<muster::Sample> samples(12);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const int hue = static_cast<int>(i);
    samples[i].image = std::make_shared<muster::Image>(made_image({90 + 5 * hue, 120 - 3 * hue}, hue));
  }
  return muster::MemorySource(std::move(samples));
}

/// All pixels of epoch 0.
std::vector<std::byte> pixels_of(const muster::Pipeline& pipeline, int num_threads) {
  muster::Loader loader{made_source(), pipeline, {.batch_size = 4, .seed = 7, .num_threads = num_threads}};
  std::vector<std::byte> pixels;
  for (const muster::Batch& batch : loader.epoch(0)) {
    pixels.insert(pixels.end(), batch.images.bytes().begin(), batch.images.bytes().end());
  }
  return pixels;
}

bool check(bool holds, const char* claim) {
  std::printf("%-6s %s\n", holds ? "yes" : "NO", claim);
  return holds;
}

int main() {
  const muster::RandomResizedCrop crop{.size = {64, 64}};
  const muster::Pipeline plain{crop};
  const muster::Pipeline inverting{crop, Invert{.p = 1.0}};
  const muster::Pipeline both{crop, Invert{}, Speckle{}};
  std::printf("%s\n", both.proof().to_string().c_str());

  const std::vector<std::byte> originals = pixels_of(plain, 1);
  std::vector<std::byte> negatives = pixels_of(inverting, 1);
  for (std::byte& value : negatives) value = ~value;  // 255 - value

  bool right = check(negatives == originals, "inverting twice gives the original");
  right &= check(pixels_of(both, 1) == pixels_of(both, 4), "one thread and four give the same bytes");
  right &= check(pixels_of(both, 1) != originals, "the stages do something");
  try {
    pixels_of({crop, Liar{}}, 2);
    right &= check(false, "a stage that lies about its size is caught");
  } catch (const muster::ShapeError& error) {
    right &= check(true, "a stage that lies about its size is caught:");
    std::printf("       %s\n", error.what());
  }
  return right ? 0 : 1;
}

#include "photo.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <vector>

namespace muster::cli {
namespace {

using Colour = std::array<float, 3>;  // 0 … 1 each

/// One plane of floats.
struct Plane {
  Size size;
  std::vector<float> values;

  explicit Plane(Size size_) : size(size_), values(static_cast<std::size_t>(size_.height * size_.width)) {}
  float* row(std::int64_t y) { return values.data() + y * size.width; }
  const float* row(std::int64_t y) const { return values.data() + y * size.width; }
};

float mix(float a, float b, float share) { return a + (b - a) * share; }
float smooth(float t) { return t * t * (3 - 2 * t); }

float uniform(Rng& rng, double low, double high) { return static_cast<float>(rng.uniform(low, high)); }

Colour from_hsv(float hue, float saturation, float value) {
  Colour colour{};
  for (std::size_t i = 0; i < 3; ++i) {
    const float k = std::fmod(static_cast<float>(5 - 2 * static_cast<int>(i)) + 6 * hue + 6, 6.0f);
    colour[i] = value - value * saturation * std::clamp(std::min(k, 4 - k), 0.0f, 1.0f);
  }
  return colour;
}

/// Adds noise that varies over `spacing` pixels: random values on a lattice, smoothly joined.
void add_octave(Plane& plane, std::int64_t spacing, float amplitude, Rng& rng) {
  const std::int64_t columns = plane.size.width / spacing + 2;
  const std::int64_t rows = plane.size.height / spacing + 2;
  std::vector<float> lattice(static_cast<std::size_t>(rows * columns));
  for (float& value : lattice) {
    value = amplitude * (static_cast<float>(rng() >> 8) * (2.0f / 16777216.0f) - 1.0f);
  }
  std::vector<float> weights(static_cast<std::size_t>(spacing));
  for (std::int64_t i = 0; i < spacing; ++i) {
    weights[static_cast<std::size_t>(i)] = smooth(static_cast<float>(i) / static_cast<float>(spacing));
  }
  std::vector<float> line(static_cast<std::size_t>(columns));
  for (std::int64_t y = 0; y < plane.size.height; ++y) {
    const float* above = lattice.data() + y / spacing * columns;
    const float share = weights[static_cast<std::size_t>(y % spacing)];
    for (std::int64_t i = 0; i < columns; ++i)
      line[static_cast<std::size_t>(i)] = mix(above[i], above[i + columns], share);
    float* out = plane.row(y);
    for (std::int64_t column = 0, x = 0; x < plane.size.width; ++column) {
      const float left = line[static_cast<std::size_t>(column)];
      const float right = line[static_cast<std::size_t>(column + 1)];
      for (std::int64_t i = 0; i < spacing && x < plane.size.width; ++i, ++x) {
        out[x] += mix(left, right, weights[static_cast<std::size_t>(i)]);
      }
    }
  }
}

/// Octaves from `finest` pixels up to a quarter of the image; amplitude grows with the wavelength, as in nature.
Plane make_texture(Size size, std::int64_t finest, float roughness, Rng& rng) {
  Plane texture(size);
  float amplitude = roughness;
  for (std::int64_t spacing = finest; spacing <= std::max(finest, std::max(size.height, size.width) / 4);
       spacing *= 2) {
    add_octave(texture, spacing, amplitude, rng);
    amplitude = std::min(amplitude * 1.4f, 0.09f);
  }
  return texture;
}

/// What the images of one class have in common.
struct Look {
  float hue;  // of the bodies
  float ground_hue;
  float roundness;  // exponent of the superellipse: 1 a diamond, 2 an ellipse, 6 nearly a box
  float stripes;    // across a body; 0: plain
  std::int64_t num_bodies;
};

Look look_of(std::uint64_t seed, std::uint64_t class_index) {
  Rng rng(seed, 1, class_index, Stream::synth);
  // Hues of neighbouring classes lie a golden section apart, so that few classes look alike.
  const double turn = rng.uniform() * 0.1 + static_cast<double>(class_index) * (std::numbers::phi - 1);
  Look look{};
  look.hue = static_cast<float>(turn - std::floor(turn));
  look.ground_hue = uniform(rng, 0, 1);
  look.roundness = std::exp(uniform(rng, std::log(1.0), std::log(6.0)));
  look.stripes = rng.bernoulli(0.5) ? uniform(rng, 3, 9) : 0;
  look.num_bodies = rng.uniform_int(1, 4);
  return look;
}

struct Body {
  float y, x, height, width;  // centre and half axes, in pixels
  float cosine, sine;
  Colour colour, stripe;
};

Body draw_body(Size size, const Look& look, Rng& rng) {
  const auto height = static_cast<float>(size.height);
  const auto width = static_cast<float>(size.width);
  const float extent = std::min(height, width) * uniform(rng, 0.15, 0.42);
  const float turn = uniform(rng, 0, 2 * std::numbers::pi);
  const float aspect = std::exp(uniform(rng, -0.5, 0.5));
  const float hue = look.hue + uniform(rng, -0.04, 0.04);
  Body body{};
  body.y = height * uniform(rng, 0.2, 0.8);
  body.x = width * uniform(rng, 0.2, 0.8);
  body.height = extent * aspect;
  body.width = extent / aspect;
  body.cosine = std::cos(turn);
  body.sine = std::sin(turn);
  body.colour = from_hsv(hue, uniform(rng, 0.35, 0.8), uniform(rng, 0.45, 0.9));
  body.stripe = from_hsv(hue + 0.08f, uniform(rng, 0.2, 0.6), uniform(rng, 0.15, 0.5));
  return body;
}

/// Paints a body over the image: soft edge, lit from the upper left.
void paint(std::array<Plane, 3>& planes, const Body& body, const Look& look, const Plane& texture) {
  const Size size = planes[0].size;
  const float edge = std::max(body.height, body.width) * 0.02f + 1;
  const float reach = std::hypot(body.height, body.width) + 2 * edge;
  const auto top = std::max<std::int64_t>(0, static_cast<std::int64_t>(body.y - reach));
  const auto bottom = std::min(size.height, static_cast<std::int64_t>(body.y + reach) + 1);
  const auto left = std::max<std::int64_t>(0, static_cast<std::int64_t>(body.x - reach));
  const auto right = std::min(size.width, static_cast<std::int64_t>(body.x + reach) + 1);
  for (std::int64_t y = top; y < bottom; ++y) {
    for (std::int64_t x = left; x < right; ++x) {
      const float dy = static_cast<float>(y) - body.y;
      const float dx = static_cast<float>(x) - body.x;
      const float v = (body.cosine * dy - body.sine * dx) / body.height;
      const float u = (body.sine * dy + body.cosine * dx) / body.width;
      if (std::max(std::abs(u), std::abs(v)) > 1.2f) continue;
      const float distance =
          std::pow(std::pow(std::abs(u), look.roundness) + std::pow(std::abs(v), look.roundness), 1 / look.roundness);
      const float cover = smooth(std::clamp((1 - distance) * body.height / edge + 0.5f, 0.0f, 1.0f));
      if (cover == 0) continue;
      const float light = 1.05f - 0.45f * distance * distance - 0.18f * (dy + dx) / (body.height + body.width);
      const float wave = look.stripes > 0 ? 0.5f + 0.5f * std::sin(look.stripes * (u + 0.8f * texture.row(y)[x])) : 0;
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const float colour = mix(body.colour[channel], body.stripe[channel], smooth(wave)) * light;
        float& pixel = planes[channel].row(y)[x];
        pixel = mix(pixel, colour, cover);
      }
    }
  }
}

}  // namespace

Image make_photo(Size size, std::uint64_t seed, std::uint64_t class_index, Rng& rng) {
  const Look look = look_of(seed, class_index);

  // The ground: two colours, from one edge of the image to the other.
  const float turn = uniform(rng, 0, 2 * std::numbers::pi);
  const float hue = look.ground_hue + uniform(rng, -0.08, 0.08);
  const Colour far = from_hsv(hue, uniform(rng, 0.05, 0.35), uniform(rng, 0.55, 0.95));
  const Colour near = from_hsv(hue + uniform(rng, -0.1, 0.1), uniform(rng, 0.15, 0.5), uniform(rng, 0.2, 0.6));
  std::array<Plane, 3> planes = {Plane(size), Plane(size), Plane(size)};
  for (std::int64_t y = 0; y < size.height; ++y) {
    for (std::int64_t x = 0; x < size.width; ++x) {
      const float v = static_cast<float>(y) / static_cast<float>(size.height) - 0.5f;
      const float u = static_cast<float>(x) / static_cast<float>(size.width) - 0.5f;
      const float share = smooth(std::clamp(0.5f + 0.8f * (v * std::cos(turn) + u * std::sin(turn)), 0.0f, 1.0f));
      for (std::size_t channel = 0; channel < 3; ++channel)
        planes[channel].row(y)[x] = mix(far[channel], near[channel], share);
    }
  }

  const Plane texture = make_texture(size, 1, uniform(rng, 0.03, 0.12), rng);
  const Plane tint = make_texture(size, 2, uniform(rng, 0.01, 0.03), rng);
  for (std::int64_t i = 0; i < look.num_bodies; ++i) paint(planes, draw_body(size, look, rng), look, texture);

  Image image(size, 3);
  for (std::int64_t y = 0; y < size.height; ++y) {
    std::uint8_t* out = image.row(y);
    for (std::int64_t x = 0; x < size.width; ++x) {
      const float light = 1 + 1.3f * texture.row(y)[x];
      const float warmth = 0.4f * tint.row(y)[x];
      for (std::size_t channel = 0; channel < 3; ++channel) {
        const float value =
            planes[channel].row(y)[x] * light + warmth * static_cast<float>(1 - static_cast<int>(channel));
        *out++ = static_cast<std::uint8_t>(std::clamp(value, 0.0f, 1.0f) * 255.0f + 0.5f);
      }
    }
  }
  return image;
}

}  // namespace muster::cli

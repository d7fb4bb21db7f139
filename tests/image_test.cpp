#include "muster/image.hpp"

#include <doctest/doctest.h>

#include <limits>

#include "support.hpp"

namespace muster {

TEST_CASE("image: sizes read height x width") { CHECK(to_string(Size{.height = 2, .width = 3}) == "2x3"); }

TEST_CASE("image: a rectangle is inside when it is not empty and no edge leaves the image") {
  const Size size{4, 5};
  CHECK(contains(size, Rect::whole(size)));
  CHECK(contains(size, {3, 4, 1, 1}));
  CHECK_FALSE(contains(size, {3, 4, 2, 1}));
  CHECK_FALSE(contains(size, {3, 4, 1, 2}));
  CHECK_FALSE(contains(size, {-1, 0, 2, 2}));
  CHECK_FALSE(contains(size, {0, -1, 2, 2}));
  CHECK_FALSE(contains(size, {1, 1, 0, 1}));
  CHECK_FALSE(contains(size, {1, 1, 1, 0}));
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();
  CHECK_FALSE(contains(size, {1, 1, huge, huge}));
}

TEST_CASE("image: intersections hold the common pixels, or are empty") {
  CHECK(intersect({0, 0, 4, 4}, {2, 1, 4, 2}) == Rect{2, 1, 2, 2});
  CHECK(intersect({2, 1, 4, 2}, {0, 0, 4, 4}) == Rect{2, 1, 2, 2});
  CHECK(intersect({0, 0, 2, 2}, {2, 0, 2, 2}).empty());
  CHECK(intersect({0, 0, 2, 2}, {9, 9, 1, 1}).empty());
}

TEST_CASE("image: every dimension is at least 1, and the pixels fit into the address space") {
  CHECK_THROWS_WITH_AS(Image({0, 3}, 3),
                       "[image] expected every dimension to be at least 1, received 0x3 with 3 channels", ShapeError);
  CHECK_THROWS_AS(Image({3, 0}, 3), ShapeError);
  CHECK_THROWS_AS(Image({3, -1}, 3), ShapeError);
  CHECK_THROWS_AS(Image({3, 3}, 0), ShapeError);
  CHECK_THROWS_AS(Image({std::int64_t{1} << 32, std::int64_t{1} << 32}, 3), ShapeError);
  CHECK_THROWS_AS(Image({1, std::numeric_limits<std::int64_t>::max()}, 3), ShapeError);
}

TEST_CASE("image: rows lie without gaps") {
  const Image image = test::noise_image({3, 5}, 3, 1);
  CHECK(image.stride_bytes() == 15);
  CHECK(image.size_bytes() == 45);
  CHECK(image.row(2) == image.data() + 30);
  CHECK(image.view().row(2) == image.row(2));
}

TEST_CASE("image: a cropped view shows the window, and assigning it copies the window alone") {
  const Image image = test::noise_image({6, 7}, 3, 2);
  const Rect window{1, 2, 4, 3};
  const Image part(image.view().crop(window));
  REQUIRE(part.size() == window.size());
  REQUIRE(part.channels() == 3);
  for (std::int64_t y = 0; y < window.height; ++y) {
    for (std::int64_t i = 0; i < window.width * 3; ++i) {
      CHECK(part.row(y)[i] == image.row(window.y + y)[window.x * 3 + i]);
    }
  }
}

TEST_CASE("image: copies are deep and compare equal until a byte differs") {
  const Image image = test::noise_image({6, 7}, 3, 3);
  Image copy = image;
  CHECK(copy == image);
  CHECK(copy.data() != image.data());
  copy.row(5)[20] ^= 1;
  CHECK_FALSE(copy == image);
  copy = image;
  CHECK(copy == image);
  const Image& same = copy;
  copy = same;
  CHECK(copy == image);
}

TEST_CASE("image: equality looks at the shape too") {
  Image wide = test::noise_image({2, 6}, 1, 4);
  Image tall = test::noise_image({6, 2}, 1, 4);
  Image colour = test::noise_image({2, 2}, 3, 4);
  CHECK_FALSE(wide == tall);
  CHECK_FALSE(wide == colour);
  CHECK(Image() == Image());
  CHECK_FALSE(Image() == wide);
}

TEST_CASE("image: copying an empty image gives an empty image") {
  const Image none;
  Image copy = none;
  CHECK(copy.empty());
  copy = test::noise_image({2, 2}, 1, 5);
  copy = none;
  CHECK(copy.empty());
  CHECK(copy == none);
}

TEST_CASE("image: moving hands the pixels over and leaves the capacity behind") {
  Image image = test::noise_image({4, 4}, 3, 6);
  const Image expected = image;
  const std::uint8_t* const pixels = image.data();
  const Image taken = std::move(image);
  CHECK(taken.data() == pixels);
  CHECK(taken == expected);
  CHECK(image.empty());  // NOLINT(bugprone-use-after-move): the state after a move is part of the contract
}

TEST_CASE("image: reshaping allocates only to grow") {
  Image image({10, 10}, 3);
  const std::uint8_t* const pixels = image.data();
  image.reshape({5, 6}, 1);
  CHECK(image.data() == pixels);
  CHECK(image.size_bytes() == 30);
  image.reshape({10, 10}, 3);
  CHECK(image.data() == pixels);
  image.reshape({11, 10}, 3);
  CHECK(image.size_bytes() == 330);
  CHECK_THROWS_AS(image.reshape({0, 1}, 1), ShapeError);
  CHECK(image.size() == Size{11, 10});
}

}  // namespace muster

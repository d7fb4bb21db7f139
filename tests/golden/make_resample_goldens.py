#!/usr/bin/python3
"""Makes resample.txt: what Pillow 9.4 makes of noise images, one line per case:

    filter channels in_height in_width out_height out_width y x height width crc32

The noise is tests/support.hpp's noise_image with seed = in_height * 65536 + in_width; the checksum is that of the
window of the result. Run it in this folder, with Debian 12's python3-pil and python3-numpy.
"""

import random
import zlib

import numpy
import PIL
from PIL import Image

FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]


def noise(height, width, channels):
    size = height * width * channels
    multiplier, increment = 1664525, 1013904223
    seed = (height * 65536 + width) % 2**32
    # State i is seed * m^i + inc * (m^(i-1) + ... + 1), all modulo 2^32.
    powers = numpy.cumprod(numpy.full(size, multiplier, numpy.uint32), dtype=numpy.uint32)
    sums = numpy.cumsum(numpy.concatenate([numpy.ones(1, numpy.uint32), powers[:-1]]), dtype=numpy.uint32)
    with numpy.errstate(over="ignore"):
        states = powers * numpy.uint32(seed) + sums * numpy.uint32(increment)
    bytes_ = (states >> 24).astype(numpy.uint8)
    return Image.fromarray(bytes_.reshape((height, width) if channels == 1 else (height, width, channels)))


def sizes():
    """(in_height, in_width), (out_height, out_width), window or None."""
    yield (1, 1), (224, 224), None
    yield (1, 1), (1, 1), None
    yield (2, 3), (7, 5), None
    yield (2, 198), (7, 299), None
    yield (3, 2), (1, 1), None
    yield (1, 5000), (224, 224), None
    yield (5000, 1), (224, 224), None
    yield (1, 5000), (3, 17), None
    yield (500, 375), (224, 224), None
    yield (375, 500), (256, 341), None
    yield (375, 500), (256, 341), (16, 58, 224, 224)
    yield (224, 224), (224, 224), None
    yield (224, 301), (224, 100), None
    yield (301, 224), (100, 224), None
    yield (64, 64), (640, 480), None
    yield (64, 64), (640, 480), (600, 3, 40, 477)
    yield (31, 620), (224, 224), None
    yield (620, 31), (224, 224), None
    yield (90, 160), (89, 161), None
    yield (33, 65), (66, 130), None
    yield (512, 384), (1, 1), None
    yield (40, 30), (39, 1), None
    yield (37, 2), (256, 9000), (5, 4400, 250, 200)
    yield (1, 900), (256, 230400), (16, 115088, 224, 224)
    yield (900, 1), (230400, 256), (115088, 16, 224, 224)
    yield (2, 3000), (4, 1000000), (0, 999990, 4, 10)
    rng = random.Random(2)
    for _ in range(14):
        height, width, out_height, out_width = (int(2 ** rng.uniform(0, 9)) for _ in range(4))
        yield (height, width), (out_height, out_width), None
    for _ in range(8):
        height, width, out_height, out_width = (int(2 ** rng.uniform(2, 10)) for _ in range(4))
        y, x = rng.randrange(out_height), rng.randrange(out_width)
        window = (y, x, rng.randint(1, out_height - y), rng.randint(1, out_width - x))
        yield (height, width), (out_height, out_width), window


def main():
    assert PIL.__version__.startswith("9.4"), PIL.__version__
    with open("resample.txt", "w") as out:
        for (height, width), (out_height, out_width), window in sizes():
            y, x, window_height, window_width = window or (0, 0, out_height, out_width)
            for channels in (1, 3):
                image = noise(height, width, channels)
                for name in FILTERS:
                    result = image.resize((out_width, out_height), getattr(Image.Resampling, name.upper()))
                    result = result.crop((x, y, x + window_width, y + window_height))
                    print(name, channels, height, width, out_height, out_width, y, x, window_height, window_width,
                          f"{zlib.crc32(result.tobytes()):08x}", file=out)


if __name__ == "__main__":
    main()

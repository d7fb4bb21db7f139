"""Photo-like images in every form that muster reads, in class folders, for check_parity.py."""

import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
SIZES = [(375, 500), (500, 333), (257, 256), (224, 224), (97, 131), (641, 13), (30, 600), (3, 2), (1, 1)]


def photo(height, width, seed, channels=3):
    """Soft shapes, hard edges and noise: what a photo has, and resampling must get right."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    y, x = y / max(height, 2), x / max(width, 2)
    result = np.zeros((height, width, channels))
    for channel in range(channels):
        plane = np.zeros((height, width))
        for _ in range(6):
            fy, fx, phase = rng.uniform(0, 30, 3)
            plane += rng.uniform(10, 40) * np.sin(2 * np.pi * (fy * y + fx * x) + phase)
        cy, cx, radius = rng.uniform(0.1, 0.9, 3)
        plane += np.where((y - cy) ** 2 + (x - cx) ** 2 < (radius / 2) ** 2, 70, -20)
        result[..., channel] = 128 + plane + rng.normal(0, 12, (height, width))
    return np.clip(result, 0, 255).astype(np.uint8)


def write_png16(path, pixels, color_type):
    """16 bits per channel, which Pillow does not write: the high byte is `pixels`."""
    height, width = pixels.shape[:2]
    low = np.random.default_rng(1).integers(0, 256, pixels.shape, dtype=np.uint16)
    rows = (pixels.astype(np.uint16) << 8 | low).astype(">u2").reshape(height, -1)
    data = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 16, color_type, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) +
                     chunk(b"IEND", b""))


def make_jpegs(folder, cjpeg):
    for index, (height, width) in enumerate(SIZES):
        image = Image.fromarray(photo(height, width, index))
        stem = folder / f"{height}x{width}"
        for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
            image.save(f"{stem}-{name}.jpg", quality=88, subsampling=subsampling)
            image.save(f"{stem}-{name}-progressive.jpg", quality=75, subsampling=subsampling, progressive=True)
        image.convert("L").save(f"{stem}-grey.jpg", quality=90)
        image.convert("CMYK").save(f"{stem}-cmyk.jpg", quality=90)
        image.save(f"{stem}-q100.jpg", quality=100, subsampling=2)
        image.save(f"{stem}-q5.jpg", quality=5)
        if cjpeg is None:
            continue
        source = folder / "source.ppm"
        image.save(source)
        for name, options in (
            ("440", ["-sample", "1x2"]),
            ("411", ["-sample", "4x1"]),
            ("410", ["-sample", "4x2"]),
            ("441", ["-sample", "1x4"]),
            ("440-progressive", ["-sample", "1x2", "-progressive"]),
            ("restart-row", ["-sample", "2x2", "-restart", "1"]),
            ("restart-3", ["-sample", "2x1", "-restart", "3B"]),
            ("restart-1-444", ["-sample", "1x1", "-restart", "1B"]),
            ("restart-1-420", ["-sample", "2x2", "-restart", "1B"]),
            ("restart-1-440", ["-sample", "1x2", "-restart", "1B"]),
            ("restart-progressive", ["-sample", "2x2", "-progressive", "-restart", "2B"]),
            ("arithmetic", ["-sample", "2x2", "-arithmetic"]),
            ("rgb", ["-rgb"]),
        ):
            with open(f"{stem}-{name}.jpg", "wb") as file:
                subprocess.run([cjpeg, "-quality", "85", *options, source], stdout=file, check=True)
        source.unlink()


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def make_oriented(folder):
    for orientation in range(1, 9):
        image = Image.fromarray(photo(301, 403, 100 + orientation))
        tags = exif(orientation)
        image.save(folder / f"{orientation}-420.jpg", exif=tags, quality=90, subsampling=2)
        image.save(folder / f"{orientation}-444.jpg", exif=tags, quality=90, subsampling=0)
        image.save(folder / f"{orientation}-progressive.jpg", exif=tags, quality=90, progressive=True)
        image.convert("L").save(folder / f"{orientation}-grey.jpg", exif=tags, quality=90)
        image.convert("CMYK").save(folder / f"{orientation}-cmyk.jpg", exif=tags, quality=90)
        image.save(folder / f"{orientation}.png", exif=tags)
        image.save(folder / f"{orientation}.webp", exif=tags, quality=90)
        image.save(folder / f"{orientation}.tif", exif=tags)
    # Values that EXIF does not define are ignored.
    image.save(folder / "0.jpg", exif=exif(0))
    image.save(folder / "9.jpg", exif=exif(9))


def make_others(root):
    for folder in ("png", "webp", "bmp", "tiff", "pnm"):
        (root / folder).mkdir()
    for index, (height, width) in enumerate(SIZES):
        pixels = photo(height, width, 200 + index, 4)
        rgba = Image.fromarray(pixels, "RGBA")
        rgb = Image.fromarray(pixels[..., :3].copy())
        grey = rgb.convert("L")
        palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=200)
        few = rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=13)
        bits = rgb.convert("1")
        name = f"{height}x{width}"

        rgb.save(root / f"png/{name}-rgb.png")
        rgba.save(root / f"png/{name}-rgba.png")
        grey.save(root / f"png/{name}-grey.png")
        rgba.convert("LA").save(root / f"png/{name}-grey-alpha.png")
        palette.save(root / f"png/{name}-palette.png")
        few.save(root / f"png/{name}-palette-4-bits.png", bits=4)
        few.save(root / f"png/{name}-palette-transparent.png", transparency=3)
        bits.save(root / f"png/{name}-1-bit.png")
        write_png16(root / f"png/{name}-rgb-16.png", pixels[..., :3], 2)
        write_png16(root / f"png/{name}-rgba-16.png", pixels, 6)

        rgb.save(root / f"webp/{name}-lossy.webp", quality=80)
        rgb.save(root / f"webp/{name}-lossless.webp", lossless=True)
        rgba.save(root / f"webp/{name}-alpha.webp", quality=60)
        rgba.save(root / f"webp/{name}-lossless-alpha.webp", lossless=True, exact=True)

        rgb.save(root / f"bmp/{name}-rgb.bmp")
        grey.save(root / f"bmp/{name}-grey.bmp")
        palette.save(root / f"bmp/{name}-palette.bmp")
        bits.save(root / f"bmp/{name}-1-bit.bmp")

        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
            rgb.save(root / f"tiff/{name}-{compression}.tif", compression=compression)
        grey.save(root / f"tiff/{name}-grey.tif")
        palette.save(root / f"tiff/{name}-palette.tif")
        rgba.save(root / f"tiff/{name}-rgba.tiff", compression="tiff_lzw")
        bits.save(root / f"tiff/{name}-1-bit.tif")

        rgb.save(root / f"pnm/{name}.ppm")
        grey.save(root / f"pnm/{name}.pgm")


def make(root):
    """Fills `root` and returns what was left out because a program is missing."""
    root = Path(root)
    cjpeg = shutil.which("cjpeg")
    (root / "jpeg").mkdir(parents=True)
    (root / "oriented").mkdir()
    make_jpegs(root / "jpeg", cjpeg)
    make_oriented(root / "oriented")
    make_others(root)
    return [] if cjpeg else ["4:4:0, 4:1:1, restart markers, arithmetic coding (no cjpeg: libjpeg-turbo-progs)"]

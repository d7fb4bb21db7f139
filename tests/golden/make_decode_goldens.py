#!/usr/bin/python3
"""Makes tests/golden/decode: small image files, and what Pillow 9.4 makes of them.

Needs Debian 12's python3-pil, python3-numpy and libjpeg-turbo-progs (cjpeg, jpegtran).

goldens.txt has one line per good file: name, stored height and width, size after exif_transpose, and zlib.crc32 of the
bytes of convert("RGB"), of ImageOps.exif_transpose(...).convert("RGB") and of convert("RGB").convert("L").
refused.txt has one line per bad file: name, and words that the error must hold.
"""
import io
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FOLDER = Path(__file__).parent / "decode"
good = {}  # name -> overrides of the reference
refused = {}


def picture(height, width, channels=3, seed=1):
    """A smooth scene with an edge and some noise."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    rng = np.random.RandomState(seed)
    planes = []
    for c in range(channels):
        plane = 120 + 90 * np.sin(0.21 * x * (c + 1) + 0.13 * y + c) + 60 * ((x + 2 * y) % 17 < 6)
        planes.append(plane + rng.randint(-12, 13, (height, width)))
    pixels = np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


RGB = Image.fromarray(picture(22, 27))
GREY = Image.fromarray(picture(22, 27, 1))
RGBA = Image.fromarray(picture(19, 21, 4), "RGBA")
CMYK = Image.fromarray(picture(17, 23, 4), "CMYK")
WIDE16 = (picture(9, 13).astype(np.uint16) << 8) + np.arange(13, dtype=np.uint16)[None, :, None]


def encode(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def add(name, data, **overrides):
    (FOLDER / name).write_bytes(data)
    good[name] = overrides


def refuse(name, data, words):
    (FOLDER / name).write_bytes(data)
    refused[name] = words


def tool(*command, data):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def cjpeg(image, *options):
    return tool("cjpeg", "-quality", "80", *options, data=encode(image, "PPM"))


def exif(orientation, order="<", entry=None):
    """A TIFF header and a directory with an orientation."""
    entry = entry or struct.pack(order + "HHIHH", 274, 3, 1, orientation, 0)
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(order + "HIH", 42, 8, 1) + entry + struct.pack(order + "I", 0)


def with_segment(jpeg, marker, payload):
    return jpeg[:2] + bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload + jpeg[2:]


def with_exif(jpeg, block):
    return with_segment(jpeg, 0xE1, b"Exif\0\0" + block)


def patch_frame(jpeg, marker=None, precision=None, height=None, width=None):
    """Changes the frame header."""
    data = bytearray(jpeg)
    at = next(i for i in range(len(data)) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC1, 0xC2))
    if marker is not None:
        data[at + 1] = marker
    if precision is not None:
        data[at + 4] = precision
    if height is not None:
        data[at + 5 : at + 7] = struct.pack(">H", height)
    if width is not None:
        data[at + 7 : at + 9] = struct.pack(">H", width)
    return bytes(data)


def make_jpegs():
    for name, sampling in [("444", "1x1"), ("422", "2x1"), ("420", "2x2"), ("440", "1x2"), ("411", "4x1"), ("410", "4x2")]:
        add(f"jpeg_{name}.jpg", cjpeg(RGB, "-sample", sampling))
    base = cjpeg(RGB, "-sample", "2x2")
    add("jpeg_grey.jpg", cjpeg(GREY))
    add("jpeg_progressive.jpg", tool("jpegtran", "-progressive", data=base))
    add("jpeg_restart.jpg", tool("jpegtran", "-restart", "1B", data=base))
    add("jpeg_arithmetic.jpg", tool("jpegtran", "-arithmetic", data=base))
    add("jpeg_arithmetic_progressive.jpg", tool("jpegtran", "-arithmetic", "-progressive", data=base))
    add("jpeg_rgb.jpg", cjpeg(RGB, "-rgb"))
    add("jpeg_1x1.jpg", cjpeg(RGB.crop((0, 0, 1, 1))))
    add("jpeg_trailing.jpg", base + b"trailing bytes, \xff\xd8 and more")
    add("jpeg_cmyk.jpg", encode(CMYK, "JPEG", quality=80))
    # The same bytes read as YCCK: Adobe's transform 2.
    cmyk = encode(CMYK, "JPEG", quality=80)
    at = cmyk.index(b"Adobe")
    add("jpeg_ycck.jpg", cmyk[: at + 11] + b"\x02" + cmyk[at + 12 :])
    for orientation in range(1, 9):
        add(f"jpeg_exif_{orientation}.jpg", with_exif(cjpeg(RGB.crop((0, 0, 13, 8)), "-sample", "2x1"), exif(orientation)))
    small = cjpeg(RGB.crop((0, 0, 11, 6)))
    add("jpeg_exif_big_endian.jpg", with_exif(small, exif(6, ">")))
    add("jpeg_exif_long.jpg", with_exif(small, exif(0, entry=struct.pack("<HHII", 274, 4, 1, 6))))
    add("jpeg_exif_byte.jpg", with_exif(small, exif(0, entry=struct.pack("<HHII", 274, 1, 1, 6))))
    add("jpeg_exif_0.jpg", with_exif(small, exif(0)))
    add("jpeg_exif_9.jpg", with_exif(small, exif(9)))
    add("jpeg_exif_cut.jpg", with_exif(small, exif(6)[:14]))
    add("jpeg_exif_twice.jpg", with_exif(with_exif(small, exif(3)), exif(6)))
    add("jpeg_thumbnail.jpg", with_exif(small, exif(6) + small))
    add("jpeg_adobe_rgb_transform_0.jpg", with_segment(small, 0xEE, b"Adobe\0\x64\0\0\0\0\0"))

    refuse("jpeg_12_bit.jpg", patch_frame(base, marker=0xC1, precision=12), "12-bit")
    refuse("jpeg_lossless.jpg", patch_frame(base, marker=0xC3), "lossless")
    refuse("jpeg_hierarchical.jpg", patch_frame(base, marker=0xC5), "hierarchical")
    refuse("jpeg_height_0.jpg", patch_frame(base, height=0), "DNL")
    refuse("jpeg_65500.jpg", patch_frame(base, height=65500, width=65500), "max_pixels")
    refuse("jpeg_65535.jpg", patch_frame(base, height=65535, width=1), "65500")
    refuse("jpeg_only_thumbnail_ends.jpg", with_exif(small, exif(6) + small)[:-2], "end-of-image")
    scan = base.index(b"\xff\xda")
    refuse("jpeg_no_scan.jpg", base[:scan], "byte")
    # Huffman tables are missing, which the standard ones replace; quantisation tables cannot be.
    table = base.index(b"\xff\xdb")
    length = struct.unpack(">H", base[table + 2 : table + 4])[0]
    refuse("jpeg_no_quantisation.jpg", base[:table] + base[table + 2 + length :], "uantization")
    progressive = tool("jpegtran", "-progressive", data=cjpeg(RGB.crop((0, 0, 8, 8)).convert("L")))
    at = progressive.rindex(b"\xff\xda")
    first = progressive.index(b"\xff\xda")
    refuse("jpeg_many_scans.jpg", progressive[:first] + progressive[first : first + 10] * 501 + progressive[at:], "scans")


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(height, width, bits, color_type, rows, *chunks, interlace=0):
    header = struct.pack(">IIBBBBB", width, height, bits, color_type, 0, 0, interlace)
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 9))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def packed(values, bits):
    """Rows of samples of fewer than 8 bits, the first in the high bits."""
    rows = []
    for row in values:
        text = "".join(format(int(v), f"0{bits}b") for v in row)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    return rows


def adam7(pixels):
    """The rows of the seven passes."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = []
    for y, x, down, right in passes:
        part = pixels[y::down, x::right]
        if part.size:
            rows += [row.tobytes() for row in part]
    return rows


def make_pngs():
    add("png_rgb.png", encode(RGB, "PNG"))
    add("png_rgba.png", encode(RGBA, "PNG"))
    add("png_grey.png", encode(GREY, "PNG"))
    add("png_grey_alpha.png", encode(RGBA.convert("LA"), "PNG"))
    add("png_palette.png", encode(RGB.quantize(40), "PNG"))
    for bits in (1, 2, 4):
        values = np.arange(7 * 11).reshape(7, 11) % (1 << bits)
        add(f"png_grey_{bits}.png", png(7, 11, bits, 0, packed(values, bits)))
        palette = chunk(b"PLTE", bytes(range(10, 10 + 3 * (1 << bits))))
        add(f"png_palette_{bits}.png", png(7, 11, bits, 3, packed(values, bits), palette))
    short = chunk(b"PLTE", bytes(range(20, 29)))
    add("png_palette_undefined_colors.png", png(1, 4, 8, 3, [bytes([0, 1, 2, 200])], short))
    see_through = chunk(b"PLTE", bytes(range(20, 29))), chunk(b"tRNS", b"\0\x80")
    add("png_palette_transparent.png", png(1, 3, 8, 3, [bytes([0, 1, 2])], *see_through))
    add("png_grey_transparent.png", png(2, 3, 8, 0, [b"\1\2\3", b"\4\5\6"], chunk(b"tRNS", b"\0\2")))
    add("png_rgb_16.png", png(9, 13, 16, 2, [row.astype(">u2").tobytes() for row in WIDE16]))
    grey16 = WIDE16[..., 0]
    high = Image.fromarray((grey16 >> 8).astype(np.uint8))
    add("png_grey_16.png", png(9, 13, 16, 0, [row.astype(">u2").tobytes() for row in grey16]), image=high)
    pair16 = np.stack([grey16, 65535 - grey16], -1)
    add("png_grey_alpha_16.png", png(9, 13, 16, 4, [row.astype(">u2").tobytes() for row in pair16]))
    add("png_interlaced.png", png(22, 27, 8, 2, adam7(np.asarray(RGB)), interlace=1))
    add("png_interlaced_1x1.png", png(1, 1, 8, 0, [b"\x33"], interlace=1))
    gamma = chunk(b"gAMA", struct.pack(">I", 100000)), chunk(b"bKGD", b"\0\1\0\2\0\3")
    add("png_gamma_background.png", png(19, 21, 8, 6, [row.tobytes() for row in np.asarray(RGBA)], *gamma))
    frames = [RGB.crop((0, 0, 6, 5)), RGB.crop((6, 5, 12, 10))]
    add("png_animated.png", encode(frames[0], "PNG", save_all=True, append_images=frames[1:]))
    for orientation in (3, 6):
        turned = chunk(b"eXIf", exif(orientation))
        add(f"png_exif_{orientation}.png", png(2, 3, 8, 0, [b"\1\2\3", b"\4\5\6"], turned))
    behind = png(2, 3, 8, 0, [b"\1\2\3", b"\4\5\6"])
    add("png_exif_behind.png", behind[:-12] + chunk(b"eXIf", exif(8, ">")) + behind[-12:])

    refuse("png_bad_checksum.png", behind[:-14] + b"\0" + behind[-13:], "CRC")
    text = bytearray(chunk(b"tEXt", b"Comment\0of no consequence"))
    text[-1] ^= 1
    refuse("png_bad_text_checksum.png", behind[:33] + bytes(text) + behind[33:], "CRC")
    refuse("png_no_pixels.png", behind[:33] + behind[-12:], "IDAT")
    refuse("png_too_few_rows.png", png(3, 3, 8, 0, [b"\1\2\3", b"\4\5\6"]), "ot enough")
    refuse("png_65500.png", png(65500, 65500, 8, 0, [b"\0"]), "max_pixels")
    refuse("png_bits.png", png(2, 3, 3, 0, [b"\1\2\3", b"\4\5\6"]), "3 bits")


def riff(*chunks):
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for kind, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def make_webps():
    lossy = encode(RGB, "WEBP", quality=80)
    add("webp_lossy.webp", lossy)
    add("webp_lossless.webp", encode(RGB, "WEBP", lossless=True))
    add("webp_lossy_alpha.webp", encode(RGBA, "WEBP", quality=80))
    add("webp_lossless_alpha.webp", encode(RGBA, "WEBP", lossless=True, exact=True))
    add("webp_1x1.webp", encode(RGB.crop((0, 0, 1, 1)), "WEBP"))
    add("webp_exif.webp", encode(RGB.crop((0, 0, 9, 5)), "WEBP", exif=exif(6)))
    add("webp_trailing.webp", lossy + b"trailing")
    # Without the header's flag the chunk does not count.
    extended = bytearray(encode(RGB.crop((0, 0, 9, 5)), "WEBP", exif=exif(6)))
    extended[20] &= ~0x08
    add("webp_exif_without_flag.webp", bytes(extended))
    frames = [RGB.crop((0, 0, 6, 5)), RGB.crop((6, 5, 12, 10))]
    refuse("webp_animated.webp", encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]), "animated")
    refuse("webp_empty.webp", riff(), "header")


def bmp(height, width, bits, rows, palette=b"", masks=b"", compression=0, header_size=40, colors=0):
    fields = struct.pack("<iiHHIIiiII", width, height, 1, bits, compression, 0, 0, 0, colors, 0)
    header = struct.pack("<I", header_size) + fields
    if header_size > 40:
        header = (header + masks).ljust(header_size, b"\0")
        masks = b""
    data = b"".join(row + b"\0" * (-len(row) % 4) for row in rows)
    offset = 14 + len(header) + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + masks + palette + data


def make_bmps():
    pixels = np.asarray(RGB)[:6, :7, ::-1]
    rows = [row.tobytes() for row in pixels]
    add("bmp_24.bmp", encode(RGB, "BMP"))
    add("bmp_24_top_down.bmp", bmp(-6, 7, 24, rows))
    add("bmp_24_no_last_padding.bmp", bmp(6, 7, 24, rows)[:-3])
    wide = [np.concatenate([row, np.full((7, 1), 9, np.uint8)], 1).tobytes() for row in pixels]
    add("bmp_32.bmp", bmp(6, 7, 32, wide))
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    add("bmp_32_masks.bmp", bmp(6, 7, 32, wide, masks=masks, compression=3, header_size=124))
    masks = struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    add("bmp_32_masks_rgba.bmp", bmp(6, 7, 32, wide, masks=masks, compression=3, header_size=108))
    masks = struct.pack("<III", 0xFF000000, 0xFF0000, 0xFF00)
    add("bmp_32_masks_xbgr.bmp", bmp(6, 7, 32, wide, masks=masks, compression=3))
    words = [np.arange(11, dtype="<u2") * 5951 + 77 * y for y in range(4)]
    words = [row.astype("<u2").tobytes() for row in words]
    add("bmp_16.bmp", bmp(4, 11, 16, words))
    masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
    add("bmp_16_565.bmp", bmp(4, 11, 16, words, masks=masks, compression=3))
    for bits in (1, 4, 8):
        values = np.arange(5 * 9).reshape(5, 9) % min(1 << bits, 30)
        colors = 1 << bits if bits < 8 else 30
        palette = bytes((17 * i + c * 31) % 256 for i in range(colors) for c in range(4))
        add(f"bmp_{bits}.bmp", bmp(5, 9, bits, packed(values, bits), palette, colors=colors))
    values = np.arange(40).reshape(5, 8)
    palette = bytes((17 * i + c * 31) % 256 for i in range(20) for c in range(4))
    add("bmp_8_undefined_colors.bmp", bmp(5, 8, 8, packed(values, 8), palette, colors=20))
    add("bmp_1_black_white.bmp", encode(GREY.convert("1"), "BMP"))
    add("bmp_8_grey.bmp", encode(GREY, "BMP"))
    os2 = struct.pack("<IHHHH", 12, 3, 2, 1, 8) + bytes(range(12))
    data = bytes([0, 1, 2, 0, 3, 2, 1, 0])
    add("bmp_os2.bmp", b"BM" + struct.pack("<IHHI", 0, 0, 0, 26 + 768) + os2 + bytes(756) + data)
    refuse("bmp_rle8.bmp", bmp(1, 2, 8, [b"\2\1\0\1"], bytes(1024), compression=1), "RLE8")
    refuse("bmp_65500.bmp", bmp(65500, 65500, 24, []), "max_pixels")
    refuse("bmp_bits.bmp", bmp(1, 1, 7, [b"\0"]), "7 bits")
    refuse("bmp_header.bmp", bmp(1, 1, 24, [b"\0\0\0"], header_size=56), "56")


def tiff(entries, data, order="<"):
    """A TIFF of one page: tag -> (type, values); the tag of the pixels' offset is filled in."""
    mark = b"II" if order == "<" else b"MM"
    sizes = {1: 1, 3: 2, 4: 4}
    letters = {1: "B", 3: "H", 4: "I"}
    extra = b""
    directory = b""
    start = 8 + 2 + 12 * len(entries) + 4
    for tag in sorted(entries):
        kind, values = entries[tag]
        if tag in (273, 324):
            values = [start + v for v in values]  # behind the extra values, below
        payload = struct.pack(order + letters[kind] * len(values), *values)
        if len(payload) > 4:
            directory += struct.pack(order + "HHII", tag, kind, len(values), start + len(data) + len(extra))
            extra += payload
        else:
            directory += struct.pack(order + "HHI", tag, kind, len(values)) + payload.ljust(4, b"\0")
    return mark + struct.pack(order + "HIH", 42, 8, len(entries)) + directory + struct.pack(order + "I", 0) + data + extra


def tiff_entries(height, width, bits, photometric, samples, size, rows=None):
    return {
        256: (3, [width]),
        257: (3, [height]),
        258: (3, [bits] * samples),
        259: (3, [1]),
        262: (3, [photometric]),
        273: (4, [0]),
        277: (3, [samples]),
        278: (3, [rows or height]),
        279: (4, [size]),
    }


def make_tiffs():
    small = RGB.crop((0, 0, 14, 9))
    for name, compression in [("raw", None), ("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"), ("packbits", "packbits")]:
        add(f"tiff_{name}.tif", encode(small, "TIFF", compression=compression))
    add("tiff_jpeg.tif", encode(small, "TIFF", compression="jpeg"))
    add("tiff_group4.tif", encode(GREY.convert("1"), "TIFF", compression="group4"))
    add("tiff_grey.tif", encode(GREY, "TIFF", compression="tiff_lzw"))
    add("tiff_grey_alpha.tif", encode(RGBA.convert("LA"), "TIFF"))
    add("tiff_rgba.tif", encode(RGBA, "TIFF", compression="tiff_lzw"))
    add("tiff_cmyk.tif", encode(CMYK, "TIFF", compression="tiff_lzw"))
    add("tiff_palette.tif", encode(small.quantize(16), "TIFF"))
    add("tiff_black_white.tif", encode(GREY.convert("1"), "TIFF"))
    add("tiff_1x1.tif", encode(small.crop((0, 0, 1, 1)), "TIFF"))
    frames = [RGB.crop((0, 0, 6, 5)), RGB.crop((6, 5, 14, 10))]
    add("tiff_pages.tif", encode(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    # Pillow 9.4 turns a TIFF when it loads it, and exif_transpose turns it again; once is right.
    for orientation in (2, 5, 6, 8):
        data = encode(small, "TIFF", tiffinfo={274: orientation})
        add(f"tiff_orientation_{orientation}.tif", data, transposed=Image.open(io.BytesIO(data)).convert("RGB"))
    values = np.arange(7 * 11).reshape(7, 11)
    for bits in (1, 2, 4, 8):
        rows = packed(values % (1 << bits), bits)
        data = b"".join(rows)
        add(f"tiff_grey_{bits}.tif", tiff(tiff_entries(7, 11, bits, 1, 1, len(data)), data))
        add(f"tiff_white_{bits}.tif", tiff(tiff_entries(7, 11, bits, 0, 1, len(data)), data, ">"))
    entries = tiff_entries(7, 11, 1, 1, 1, 14)
    entries[266] = (3, [2])
    add("tiff_fill_order.tif", tiff(entries, b"".join(packed(values % 3 % 2, 1))))
    for name, order in (("little", "<"), ("big", ">")):
        data = WIDE16.astype(order + "u2").tobytes()
        add(f"tiff_rgb_16_{name}.tif", tiff(tiff_entries(9, 13, 16, 2, 3, len(data)), data, order))
    grey16 = WIDE16[..., 0]
    high = Image.fromarray((grey16 >> 8).astype(np.uint8))
    add("tiff_grey_16.tif", tiff(tiff_entries(9, 13, 16, 1, 1, 234), grey16.astype("<u2").tobytes()), image=high)
    pixels = np.asarray(small)
    planes = np.moveaxis(pixels, -1, 0).tobytes()
    entries = tiff_entries(9, 14, 8, 2, 3, 126)
    entries[273] = (4, [0, 126, 252])
    entries[279] = (4, [126, 126, 126])
    entries[284] = (3, [2])
    add("tiff_planar.tif", tiff(entries, planes))
    premultiplied = np.asarray(RGBA.crop((0, 0, 8, 6)))
    entries = tiff_entries(6, 8, 8, 2, 4, 192)
    entries[338] = (3, [1])
    add("tiff_premultiplied.tif", tiff(entries, premultiplied.tobytes()))
    padded = np.zeros((32, 32), np.uint8)
    padded[:22, :27] = np.asarray(GREY)
    tiles = b"".join(padded[y : y + 16, x : x + 16].tobytes() for y in (0, 16) for x in (0, 16))
    entries = tiff_entries(22, 27, 8, 1, 1, 0)
    for tag in (273, 278, 279):
        del entries[tag]
    entries.update({322: (3, [16]), 323: (3, [16]), 324: (4, [0, 256, 512, 768]), 325: (4, [256] * 4)})
    add("tiff_tiled.tif", tiff(entries, tiles))
    strips = tiff_entries(9, 14, 8, 2, 3, 0, rows=4)
    strips[273] = (4, [0, 168, 336])
    strips[279] = (4, [168, 168, 42])
    add("tiff_strips.tif", tiff(strips, pixels.tobytes()))

    floats = tiff_entries(2, 2, 32, 1, 1, 16)
    floats[339] = (3, [3])
    refuse("tiff_float.tif", tiff(floats, bytes(16)), "sample format 3")
    refuse("tiff_lab.tif", tiff(tiff_entries(2, 2, 8, 8, 3, 12), bytes(12)), "photometric interpretation 8")
    refuse("tiff_65500.tif", tiff(tiff_entries(65500, 65500, 8, 1, 1, 1), b"\0"), "max_pixels")
    old = tiff_entries(2, 2, 8, 6, 3, 12)
    old[259] = (3, [6])
    refuse("tiff_old_jpeg.tif", tiff(old, bytes(12)), "old-style JPEG")


def make_pnms():
    add("pnm_grey.pgm", encode(GREY, "PPM"))
    add("pnm_rgb.ppm", encode(RGB, "PPM"))
    add("pnm_comments.pgm", b"P5 # a comment\n#another\n 3\t2 # and one\r255\n\1\2\3\4\5\6")
    high = Image.fromarray((WIDE16 >> 8).astype(np.uint8))
    add("pnm_rgb_16.ppm", b"P6\n13 9\n65535\n" + WIDE16.astype(">u2").tobytes(), image=high)
    grey = Image.fromarray((WIDE16[..., 0] >> 8).astype(np.uint8))
    add("pnm_grey_16.pgm", b"P5\n13 9\n65535\n" + WIDE16[..., 0].astype(">u2").tobytes(), image=grey)
    refuse("pnm_plain.ppm", b"P3\n1 1\n255\n1 2 3\n", "P3")
    refuse("pnm_bitmap.pbm", b"P4\n8 1\n\xAA", "P4")
    refuse("pnm_maximum.pgm", b"P5\n1 1\n100\n\1", "100")
    refuse("pnm_65500.pgm", b"P5\n65500 65500\n255\n", "max_pixels")
    refuse("pnm_huge_number.pgm", b"P5\n99999999999999999999 1\n255\n", "too large")


def make_others():
    refuse("empty.jpg", b"", "empty")
    refuse("text.jpg", b"This is no picture.\n", "not an image")
    refuse("gif.jpg", encode(RGB.crop((0, 0, 3, 2)), "GIF"), "GIF")


def crc(image):
    return format(zlib.crc32(image.tobytes()), "08x")


def reference(name, image=None, transposed=None):
    data = (FOLDER / name).read_bytes()
    plain = image or Image.open(io.BytesIO(data))
    rgb = plain.convert("RGB")
    if transposed is None:
        transposed = ImageOps.exif_transpose(image or Image.open(io.BytesIO(data))).convert("RGB")
    columns = [name, rgb.height, rgb.width, transposed.height, transposed.width, crc(rgb), crc(transposed), crc(rgb.convert("L"))]
    return " ".join(map(str, columns))


def main():
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.iterdir():
        old.unlink()
    for make in (make_jpegs, make_pngs, make_webps, make_bmps, make_tiffs, make_pnms, make_others):
        make()
    lines = [reference(name, **overrides) for name, overrides in sorted(good.items())]
    (FOLDER / "goldens.txt").write_text("\n".join(lines) + "\n")
    (FOLDER / "refused.txt").write_text("\n".join(f"{name} {words}" for name, words in sorted(refused.items())) + "\n")


if __name__ == "__main__":
    main()

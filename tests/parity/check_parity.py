#!/usr/bin/python3
"""Holds muster's batches against torchvision on Pillow: not a byte may differ.

    check_parity.py --muster build/release/muster [DIR]

DIR is an image folder; without it, images of every format and variant are made for the occasion. Needs Debian
12's python3-torchvision and python3-pil. Exit status: 0 all equal, 1 a difference or a failure, 2 a wrong call.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from torchvision import transforms

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))
import variants  # noqa: E402

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BATCH_SIZE = 64


def load(path, orient):
    with Image.open(path) as file:
        # Pillow turns TIFF by itself while loading; exif_transpose would turn it once more.
        turned = ImageOps.exif_transpose(file) if orient and file.format != "TIFF" else file
        return turned.convert("RGB")


def evaluated(image, record):
    """imagenet-eval."""
    return transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])(image)


def trained(image, record):
    """imagenet-train, with the window and the flip that were drawn."""
    window = record["window"]
    left, top = window["x"], window["y"]
    part = image.crop((left, top, left + window["width"], top + window["height"]))
    part = part.resize((224, 224), Image.Resampling.BILINEAR)
    return part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if record["flip"] else part


def letterboxed(image, record, target=640):
    """letterbox-640: docs/semantics.md, "LetterBox"."""
    scale = min(target / image.height, target / image.width)
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    sheet = Image.new("RGB", (target, target), (114, 114, 114))
    position = round((target - width) / 2 - 0.1), round((target - height) / 2 - 0.1)
    sheet.paste(image.resize((width, height), Image.Resampling.BILINEAR), position)
    return sheet


def pixels(image):
    """uint8 {channels, height, width}."""
    array = np.asarray(image)
    return array[np.newaxis] if array.ndim == 2 else array.transpose(2, 0, 1)


def normalized(image):
    return transforms.Normalize(MEAN, STD)(transforms.ToTensor()(image)).numpy()


def eval_grey(image, record):
    return evaluated(image.convert("L"), record)


def scaled(image):
    return transforms.ToTensor()(image).numpy()


GREY = {"decode": {"color": "grey"}, "stages": [{"Resize": {"size": 256}}, {"CenterCrop": {"size": [224, 224]}}]}

# What is compared: name, options of `muster export`, how Pillow makes the image, the numbers of it, and the largest
# number of batches where a whole epoch would need too much space.
CHECKS = [
    ("imagenet-eval uint8", ["--preset", "imagenet-eval", "--dtype", "uint8"], evaluated, pixels),
    ("imagenet-eval uint8, not oriented", ["--preset", "imagenet-eval", "--dtype", "uint8", "--no-orientation"],
     evaluated, pixels),
    ("grey uint8", ["--pipeline", GREY], eval_grey, pixels),
    ("imagenet-eval float32", ["--preset", "imagenet-eval"], evaluated, normalized),
    ("imagenet-train uint8", ["--preset", "imagenet-train", "--dtype", "uint8", "--seed", "7"], trained, pixels),
    ("imagenet-train uint8, shuffled epoch 3", ["--preset", "imagenet-train", "--dtype", "uint8", "--shuffle",
                                                "--epoch", "3"], trained, pixels),
    ("imagenet-train float32", ["--preset", "imagenet-train"], trained, normalized),
    ("letterbox-640 uint8", ["--preset", "letterbox-640", "--dtype", "uint8"], letterboxed, pixels),
    ("letterbox-640 float32, at most two batches", ["--preset", "letterbox-640", "--shuffle"], letterboxed, scaled, 2),
]


def count_images(muster, folder):
    result = subprocess.run([muster, "inspect", folder, "--json"], check=True, capture_output=True, text=True)
    return json.loads(result.stdout)["images"]


def export(muster, folder, options, num_batches, out):
    """Yields (record, row) for every image of an epoch."""
    records = Path(out) / "records.jsonl"
    pipeline = Path(out) / "pipeline.json"
    for option in options:
        if isinstance(option, dict):
            pipeline.write_text(json.dumps(option))
    options = [pipeline if isinstance(option, dict) else option for option in options]
    subprocess.run([muster, "export", folder, *options, "--batch-size", str(BATCH_SIZE),
                    "--batches", str(num_batches), "-o", f"{out}/batch-{{}}.npy", "--records", records],
                   check=True, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in records.read_text().splitlines()]
    for batch in range(num_batches):
        array = np.load(f"{out}/batch-{batch}.npy", mmap_mode="r")
        for index, record in enumerate(lines[batch * BATCH_SIZE:(batch + 1) * BATCH_SIZE]):
            yield record, array[index]


def check(muster, folder, num_images, name, options, make_image, make_numbers, max_batches=sys.maxsize):
    """Prints a line, and one for each image that differs; returns the number of images that do."""
    num_batches = min(-(-num_images // BATCH_SIZE), max_batches)
    num_images = min(num_images, num_batches * BATCH_SIZE)
    num_compared = num_bytes = num_bytes_wrong = 0
    wrong = []
    with tempfile.TemporaryDirectory(prefix="muster-parity-") as out:
        for record, row in export(muster, folder, options, num_batches, out):
            image = load(Path(folder) / record["path"], "--no-orientation" not in options)
            if record["source"] != [image.height, image.width]:
                wrong.append(f"{record['path']}: source {record['source']}, Pillow has {image.height}x{image.width}")
                continue
            image = make_image(image, record)
            expected = np.ascontiguousarray(make_numbers(image))
            received = np.ascontiguousarray(row)
            num_compared += 1
            num_bytes += expected.nbytes
            if received.shape != expected.shape or received.dtype != expected.dtype:
                wrong.append(f"{record['path']}: {received.dtype} {received.shape}, expected "
                             f"{expected.dtype} {expected.shape}")
                continue
            differing = received.reshape(-1).view(np.uint8) != expected.reshape(-1).view(np.uint8)
            if differing.any():
                num_bytes_wrong += int(differing.sum())
                largest = np.abs(received.astype(np.float64) - expected.astype(np.float64)).max()
                wrong.append(f"{record['path']}: {int(differing.sum())} bytes differ, by up to {largest:g}")
    if num_compared + len(wrong) < num_images:
        wrong.append(f"only {num_compared} of {num_images} images were delivered")
    print(f"{name}: {num_compared} images, {num_bytes} bytes compared, {num_bytes_wrong} bytes differ, "
          f"{len(wrong)} images wrong", flush=True)
    for line in wrong[:20]:
        print(f"  {line}")
    return len(wrong)


def main():
    parser = argparse.ArgumentParser(description="Compare muster's batches with torchvision on Pillow, byte for byte.")
    parser.add_argument("--muster", required=True, metavar="PATH", help="the program")
    parser.add_argument("dir", nargs="?", metavar="DIR", help="an image folder; default: made variants")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="muster-parity-") as made:
        folder = arguments.dir
        if folder is None:
            folder = made
            for missing in variants.make(made):
                print(f"left out: {missing}")
        num_images = count_images(arguments.muster, folder)
        num_wrong = sum(check(arguments.muster, folder, num_images, *each) for each in CHECKS)
    print("all equal" if num_wrong == 0 else f"{num_wrong} images differ")
    return 0 if num_wrong == 0 and num_images > 0 else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"check_parity.py: {error}\n{error.stderr or ''}")

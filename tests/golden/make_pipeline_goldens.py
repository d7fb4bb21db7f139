#!/usr/bin/python3
"""Makes pipeline.txt: checksums of what torchvision's transforms make of noise images.

Run with Debian 12's python3-torchvision (0.14) and python3-pil (9.4):
    /usr/bin/python3 tests/golden/make_pipeline_goldens.py > tests/golden/pipeline.txt
"""

import json
import zlib

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def noise(height, width, channels, seed):
    """noise_image() of tests/support.hpp."""
    state = seed
    values = bytearray()
    for _ in range(height * width * channels):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append(state >> 24)
    shape = (height, width) if channels == 1 else (height, width, channels)
    return np.frombuffer(bytes(values), np.uint8).reshape(shape)


def size_of(value):
    return tuple(value) if isinstance(value, list) else value


def transform_of(stage):
    """torchvision's transform for one stage of a pipeline file."""
    (name, given), = stage.items()
    fields = dict(given)
    for key in ("size", "padding", "fill"):
        if key in fields:
            fields[key] = size_of(fields[key])
    if "interpolation" in fields:
        fields["interpolation"] = InterpolationMode(fields["interpolation"])
    if name == "ToFloat":
        return transforms.ToTensor()
    if name == "Normalize":
        return transforms.Compose([transforms.ToTensor(), transforms.Normalize(**fields)])
    return getattr(transforms, name)(**fields)


def run(stages, array):
    image = Image.fromarray(array)
    for stage in stages:
        image = transform_of(stage)(image)
    return image


def pixel_pipelines():
    resize_to = {"Resize": {"size": [37, 53]}}
    for filter_name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"):
        for size in ([37, 53], [120, 20], [5, 150]):
            yield [{"Resize": {"size": size, "interpolation": filter_name}}]
        yield [{"Resize": {"size": 40, "interpolation": filter_name}}, {"CenterCrop": {"size": [36, 36]}}]
    for size, max_size in ((48, 0), (48, 64), (48, 49), (7, 1000), (100, 0), (1, 0)):
        stage = {"size": size}
        if max_size:
            stage["max_size"] = max_size
        yield [{"Resize": stage}, {"CenterCrop": {"size": [33, 48]}}]
    for size in ([10, 10], [11, 10], [64, 80], [65, 81], [63, 79], [90, 20], [20, 90], [101, 102], [1, 1]):
        yield [{"CenterCrop": {"size": size}}]
    for mode in ("constant", "edge", "reflect", "symmetric"):
        for padding in (3, [4, 2], [1, 2, 3, 4], [0, 5, 0, 0], 0):
            yield [resize_to, {"Pad": {"padding": padding, "padding_mode": mode}}]
        yield [resize_to, {"Pad": {"padding": 6, "padding_mode": mode}}, {"Resize": {"size": [20, 20]}}]
        yield [{"Resize": {"size": [4, 5]}}, {"Pad": {"padding": [11, 9], "padding_mode": mode}}]
        yield [{"Resize": {"size": [1, 2]}}, {"Pad": {"padding": 3, "padding_mode": mode}}]
        yield [{"Pad": {"padding": [2, 3], "padding_mode": mode}}, {"Resize": {"size": 24}},
               {"CenterCrop": {"size": [20, 30]}}]
    yield [resize_to, {"Pad": {"padding": 2, "fill": 114}}]
    yield [resize_to, {"Pad": {"padding": [5, 0, 1, 2], "fill": [10, 200, 30]}}]
    yield [{"RandomHorizontalFlip": {"p": 1.0}}, resize_to]
    yield [resize_to, {"RandomHorizontalFlip": {"p": 1.0}}]
    yield [{"RandomVerticalFlip": {"p": 1.0}}, {"Resize": {"size": [19, 31], "interpolation": "nearest"}}]
    yield [{"RandomVerticalFlip": {"p": 1.0}}, {"Resize": {"size": [19, 31], "interpolation": "box"}},
           {"RandomHorizontalFlip": {"p": 1.0}}]
    yield [resize_to, {"RandomCrop": {"size": [37, 53]}}]
    yield [{"Resize": {"size": 50}}, {"CenterCrop": {"size": [50, 50]}}, {"Resize": {"size": [30, 70]}}]
    yield [{"CenterCrop": {"size": [100, 100]}}, {"Pad": {"padding": 4, "padding_mode": "edge"}},
           {"RandomHorizontalFlip": {"p": 1.0}}, {"Resize": {"size": [54, 27], "interpolation": "bicubic"}},
           {"Pad": {"padding": [1, 0], "fill": 7}}]


def value_pipelines():
    yield [{"ToFloat": {}}]
    yield [{"Normalize": IMAGENET}]
    yield [{"Normalize": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}}]
    yield [{"Normalize": {"mean": [0.1307, 0.0, -1.0], "std": [0.3081, 1.0, 3.0]}}]


def main():
    print("# Made by make_pipeline_goldens.py: torchvision 0.14 on Pillow 9.4.")
    print("# uint8   | height width channels seed of noise_image() | pipeline | CRC-32 of the HWC bytes")
    print("# float32 | 16 16 3, every channel 0 ... 255 | pipeline | CRC-32 of the CHW bytes")
    images = [(64, 80, 3, 1), (97, 41, 3, 2)]
    for stages in pixel_pipelines():
        for height, width, channels, seed in images:
            result = np.asarray(run(stages, noise(height, width, channels, seed)))
            emit("uint8", (height, width, channels, seed), {"stages": stages}, result.tobytes())
    for stages in list(pixel_pipelines())[::5]:
        if any(isinstance(stage.get("Pad", {}).get("fill"), list) for stage in stages):
            continue
        result = np.asarray(run(stages, noise(50, 75, 1, 3)))
        emit("uint8", (50, 75, 1, 3), {"decode": {"color": "grey"}, "stages": stages}, result.tobytes())
    ramp = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    for stages in value_pipelines():
        tensor = run(stages, ramp)
        assert tensor.dtype == torch.float32
        emit("float32", (16, 16, 3), {"stages": [{"CenterCrop": {"size": [16, 16]}}, *stages]},
             tensor.contiguous().numpy().tobytes())


def emit(kind, numbers, pipeline, data):
    text = json.dumps(pipeline, separators=(",", ":"))
    print(f"{kind} | {' '.join(map(str, numbers))} | {text} | {zlib.crc32(data):08x}")


if __name__ == "__main__":
    main()

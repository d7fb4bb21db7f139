#!/usr/bin/python3
"""Makes trace.txt: the shapes that PyTorch 1.13 makes of random networks, one network a line:

    layers | shape of the batch | shape after each layer, up to the first that fails: x

Run it in this folder, with Debian 12's python3-torch.
"""

import random

import torch
from torch import nn

NUM_NETWORKS = 500


def pick(*choices):
    return random.choice(choices)


def pair(low, high):
    """A number, or one for height and one for width."""
    if random.random() < 0.6:
        return random.randint(low, high)
    return (random.randint(low, high), random.randint(low, high))


def conv(channels):
    received = channels if random.random() < 0.97 else channels + 1
    out = pick(1, 4, 6, 8)
    groups = pick(1, 1, 1, 2, received)
    stride = pair(1, 3)
    padding = pick(pair(0, 3), pair(0, 3), "'valid'", "'same'")
    if padding == "'same'":
        stride = 1
    dilation = pick(1, 1, pair(1, 3))
    text = f"Conv2d({received}, {out}, {pair(1, 5)}, stride={stride}, padding={padding}, dilation={dilation}"
    return text + (f", groups={groups})" if groups != 1 else ")"), out


def transposed_conv(channels):
    out = pick(2, 4)
    stride = random.randint(1, 3)
    return (
        f"ConvTranspose2d({channels}, {out}, {pair(1, 4)}, {stride}, {pair(0, 2)}, "
        f"output_padding={random.randint(0, stride)}, dilation={random.randint(1, 2)})",
        out,
    )


def max_pool(channels):
    kernel = random.randint(1, 4)
    stride = pick("", f", stride={pair(1, 3)}")
    return (
        f"MaxPool2d({kernel}{stride}, padding={random.randint(0, kernel // 2 + (random.random() < 0.05))}, "
        f"dilation={pick(1, 1, 2)}, ceil_mode={pick(True, False)})",
        channels,
    )


def average_pool(channels):
    kernel = random.randint(1, 4)
    return f"AvgPool2d({kernel}, {pair(1, 3)}, {random.randint(0, kernel // 2)}, {pick(True, False)})", channels


def other(channels):
    received = channels if random.random() < 0.97 else channels + 1
    return (
        pick(
            f"BatchNorm2d({received})",
            "ReLU()",
            "Dropout(0.2)",
            f"ZeroPad2d(({random.randint(-1, 3)}, {random.randint(0, 3)}, {random.randint(0, 3)}, {random.randint(-1, 3)}))",
            f"Upsample(scale_factor={pick(1.5, 2, 3)})",
            f"AdaptiveAvgPool2d({pick(3, '(2, 5)', '(None, 4)')})",
        ),
        channels,
    )


class View(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.view(*self.shape)


def build(text):
    return eval(text, {**vars(nn), "View": View}).eval()  # noqa: S307: our own text


def shapes(layers, x):
    """The shape after each layer; None for the first that fails."""
    with torch.no_grad():
        for text in layers:
            try:
                x = build(text)(x)
            except (RuntimeError, ValueError, IndexError):
                yield None
                return
            yield tuple(x.shape)


def network():
    batch = (random.randint(1, 3), pick(1, 3, 3, 4), random.randint(5, 40), random.randint(5, 40))
    channels, layers = batch[1], []
    for _ in range(random.randint(1, 6)):
        text, channels = pick(conv, conv, transposed_conv, max_pool, average_pool, other)(channels)
        layers.append(text)
    found = list(shapes(layers, torch.zeros(batch)))
    if found[-1] is not None and random.random() < 0.7:
        n, c, h, w = found[-1]
        features = c * h * w if random.random() < 0.6 else c * (h + pick(-1, 1)) * w
        if features > 0 and c * h * w < 200000:
            layers.append(pick("Flatten()", "Flatten(1, -1)", "Flatten(1)", f"View({n}, -1)", "Flatten(0)", "Flatten(2)"))
            layers += [f"Linear({features}, 7)", "BatchNorm1d(7)"]
    return layers, batch


def main():
    random.seed(1)
    with open("trace.txt", "w", encoding="ascii") as file:
        for _ in range(NUM_NETWORKS):
            layers, batch = network()
            found = ["x" if shape is None else ",".join(map(str, shape)) for shape in shapes(layers, torch.zeros(batch))]
            print(" ".join(layers), ",".join(map(str, batch)), " ".join(found), sep=" | ", file=file)


if __name__ == "__main__":
    main()

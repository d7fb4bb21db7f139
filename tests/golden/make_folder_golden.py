#!/usr/bin/python3
"""Writes folder_listing.txt: a tree of awkward names, and how torchvision's ImageFolder lists it.

Lines, with names percent-encoded:
  file PATH             an empty file
  folder PATH           a folder
  link PATH TARGET      a symbolic link, target relative to the link
  class NAME            the classes, by label
  sample LABEL PATH     the samples, by id
Made with Debian 12's python3-torchvision 0.14.
"""

import os
import pathlib
import tempfile
import urllib.parse

from torchvision.datasets import ImageFolder

FILES = [
    # Folders compare by their whole path: "a b" and "a-b" before "a/c", "a0" after.
    "order/a/c/1.jpg", "order/a b/2.jpg", "order/a-b/3.jpg", "order/a0/4.jpg", "order/a/5.jpg", "order/z.jpg",
    # Files of a folder come before those of its subfolders, in the order of their bytes.
    "files/10.jpg", "files/9.jpg", "files/B.jpg", "files/a.jpg", "files/_.jpg", "files/1/0.jpg", "files/.hidden.jpg",
    # Extensions, with and without case; some are no images.
    "types/a.JPEG", "types/b.Png", "types/c.ppm", "types/d.bmp", "types/e.pgm", "types/f.tif", "types/g.TIFF",
    "types/h.webp", "types/i.jpg", "types/j.gif", "types/k.txt", "types/l", "types/m.jpg.txt", "types/.jpg",
    "types/njpg",
    # Classes: capitals, digits, hidden, spaces, commas, quotes, newlines, other alphabets.
    "Zebra/1.jpg", "apple/1.jpg", "10/1.jpg", "9/1.jpg", ".hidden/1.jpg", "a class, \"quoted\"/it's, 1.jpg",
    "new\nline/1\n2.jpg", " leading/ 1.jpg", "äpfel/ö.jpg", "日本/猫.jpg", "\U0001f408/\U0001f408.jpg", "%41/%2F.jpg",
    # Not part of any class.
    "stray.jpg", "readme.txt",
    # Deep, and a folder that looks like a file.
    "deep/1/2/3/4/5/6.jpg", "deep/x.jpg/y.jpg",
]
FOLDERS = ["deep/empty"]
LINKS = [
    # Inside the root, both kinds; two links to one folder list it twice.
    ("links/file.jpg", "../apple/1.jpg"), ("links/folder", "../types"), ("links/again", "../types"), ("linked class", "deep"),
]


def encode(name):
    return urllib.parse.quote(os.fsencode(name), safe="/")


def main():
    lines = ["file " + encode(name) for name in FILES]
    lines += ["folder " + encode(name) for name in FOLDERS]
    lines += [f"link {encode(name)} {encode(target)}" for name, target in LINKS]
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in FILES:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()
        for name in FOLDERS:
            (root / name).mkdir(parents=True)
        for name, target in LINKS:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).symlink_to(target)
        data = ImageFolder(folder)
        lines += ["class " + encode(name) for name in data.classes]
        lines += [f"sample {label} {encode(os.path.relpath(path, folder))}" for path, label in data.samples]
    path = pathlib.Path(__file__).parent / "folder_listing.txt"
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()

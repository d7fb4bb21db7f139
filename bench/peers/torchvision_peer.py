"""The same job in torchvision's DataLoader on Pillow: DIR THREADS EPOCHS."""
import json
import sys
import time

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def main():
    directory, num_workers, num_epochs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)  # the workers have one each as well
    augment = transforms.Compose([
        transforms.RandomResizedCrop(224),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ])
    loader = DataLoader(datasets.ImageFolder(directory, augment), batch_size=64, shuffle=True,
                        num_workers=num_workers, persistent_workers=num_workers > 0, pin_memory=False)
    rates = []
    for epoch in range(num_epochs + 1):  # the first one warms up
        num_images = 0
        start = time.perf_counter()
        for images, _ in loader:
            num_images += len(images)
        if epoch > 0:
            rates.append(num_images / (time.perf_counter() - start))
    print(json.dumps({"peer": "torchvision DataLoader, Pillow", "images": num_images, "images_per_second": rates}))


if __name__ == "__main__":
    main()

"""cyclegan between digits and other digits that are inverted and blurred: the figures of docs/results.md.

    python benchmarks/quality/translation.py data FOLDER     # writes FOLDER/plain and FOLDER/dark from MNIST
    ganzoo train cyclegan --dataset unpaired:FOLDER/plain,FOLDER/dark --set identity_weight=0 --steps 1000 --out RUN
    python benchmarks/quality/translation.py measure RUN

The truth is known: an image of `dark` is one of `plain` blurred by a Gaussian of 1 pixel, then inverted. No digit is in
both folders.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

import ganzoo
from ganzoo.evaluation.metrics.psnr import decibels

EACH = {"train": 5000, "test": 1000}
BLUR = 1


def darkened(images: Tensor) -> Tensor:
    """Images uint8 [N, 1, 28, 28], blurred and inverted."""
    radius = 3 * BLUR
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / BLUR).square())
    kernel = kernel / kernel.sum()
    planes = torch.nn.functional.pad(images.float(), (radius,) * 4)
    planes = torch.nn.functional.conv2d(planes, kernel[None, None, None])
    planes = torch.nn.functional.conv2d(planes, kernel[None, None, :, None])
    return (255 - planes).round().clamp(0, 255).to(torch.uint8)


def write(folder: Path) -> None:
    """The first half of the images of each split as they are, the second half darkened."""
    for split, each in EACH.items():
        images = torch.from_numpy(ganzoo.data.open("mnist", split=split).values[: 2 * each])
        for name, half in (("plain", images[:each]), ("dark", darkened(images[each:]))):
            place = folder / name / split
            place.mkdir(parents=True, exist_ok=True)
            for number, image in enumerate(half[:, 0].numpy()):
                Image.fromarray(image).save(place / f"{number:05}.png")


@torch.no_grad()
def measure(run: Path) -> None:
    """PSNR against the truth there, back, and there and back; accuracies of a classifier of real digits."""
    gan, test = ganzoo.load(run), ganzoo.data.open("mnist", split="test")
    train = ganzoo.data.open("mnist")
    classifier = KNeighborsClassifier(3).fit(train.values[:20_000].reshape(-1, 784), train.labels[:20_000])
    plain, labels = (torch.from_numpy(array[:1000]) for array in (test.values, test.labels))
    dark = darkened(plain)
    there = gan.sample(1000, inputs=plain)
    back = gan.sample(1000, inputs=dark, sampling={"direction": "back"})
    again = gan.sample(1000, inputs=there, sampling={"direction": "back"})
    for name, images, truth in (("there", there, dark), ("back", back, plain), ("there and back", again, plain)):
        print(f"{name}: PSNR {decibels(images, truth):.2f} dB (unchanged: {decibels(dark, plain):.2f})")
    for name, images in (
        ("real", plain),
        ("dark, as they are", dark),
        ("dark, inverted", 255 - dark),
        ("back", back),
        ("there and back", again),
    ):
        print(f"{name}: accuracy {classifier.score(images.flatten(1).numpy(), labels.numpy()):.3f}")


if __name__ == "__main__":
    {"data": write, "measure": measure}[sys.argv[1]](Path(sys.argv[2]))

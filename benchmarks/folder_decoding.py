"""The rate at which a folder of JPEG files is decoded, against PIL in the workers of a DataLoader, as with torchvision.

    python benchmarks/folder_decoding.py --images 50000 --size 256 --to 64 --rounds 3

All read the same files, which are written first, in turns. The DataLoader scales with Lanczos's filter, as `folder:`
does, and with the bilinear one, torchvision's default. `folder:` also writes what it decodes into its cache, from which
every later epoch and training reads; how long that takes is measured, too.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from ganzoo import data


class Pictures(Dataset[torch.Tensor]):
    """Loads these files as torchvision's ImageFolder does with Resize, CenterCrop and PILToTensor."""

    def __init__(self, folder: Path, size: int, resampling: Image.Resampling):
        self.files, self.size, self.resampling = sorted(folder.glob("*.jpg")), size, resampling

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.files[index]) as image:
            pixels = image.convert("RGB").resize((self.size, self.size), self.resampling)
        return torch.from_numpy(np.array(pixels)).permute(2, 0, 1)


def write(folder: Path, count: int, size: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((size, size), Image.Resampling.BICUBIC).save(folder / f"{number:06d}.jpg", quality=90)


def by_folder(folder: Path, size: int, _: int) -> int:
    return len(data.open(f"folder:{folder}", image_size=size))


def by_cache(folder: Path, size: int, _: int) -> int:
    return len(np.array(data.open(f"folder:{folder}", image_size=size).values))


def by_loader(folder: Path, size: int, workers: int, resampling: Image.Resampling) -> int:
    loader = DataLoader(Pictures(folder, size, resampling), batch_size=64, num_workers=workers)
    return sum(len(batch) for batch in loader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50000)
    parser.add_argument("--size", type=int, default=256, help="of the files")
    parser.add_argument("--to", type=int, default=64, help="of the training images")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.getLogger("ganzoo").setLevel(logging.ERROR)
    workers = len(os.sched_getaffinity(0))
    contestants: dict[str, Callable[[Path, int, int], int]] = {
        "folder:, first use": by_folder,
        "folder:, later uses": by_cache,
        "DataLoader, Lanczos": partial(by_loader, resampling=Image.Resampling.LANCZOS),
        "DataLoader, bilinear": partial(by_loader, resampling=Image.Resampling.BILINEAR),
    }
    rates: dict[str, list[float]] = {label: [] for label in contestants}
    with tempfile.TemporaryDirectory() as name:
        folder, cache = Path(name) / "images", Path(name) / "cache"
        folder.mkdir()
        os.environ["XDG_CACHE_HOME"] = str(cache)
        write(folder, options.images, options.size)
        for _ in range(options.rounds):
            shutil.rmtree(cache, ignore_errors=True)
            for label, load in contestants.items():
                began = time.perf_counter()
                assert load(folder, options.to, workers) == options.images
                rates[label].append(options.images / (time.perf_counter() - began))
    for label, values in rates.items():
        every = ", ".join(f"{value:,.0f}" for value in values)
        print(f"{label:20}  median {statistics.median(values):,.0f} images/s  ({every}; {workers} workers)")


if __name__ == "__main__":
    main()

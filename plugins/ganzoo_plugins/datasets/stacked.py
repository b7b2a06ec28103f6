"""Stacked MNIST: three digits as the channels of one image, 1,000 modes to count."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganzoo.plugin import DataLocation, Dataset, Split

if TYPE_CHECKING:
    from ganzoo.data.images import ImageData

COUNTS = {"train": 128_000, "test": 26_000}
SEEDS = {"train": 0, "test": 1}
STACK = 3


class StackedMNIST(Dataset):
    """Images of three random MNIST digits each, assembled when loading."""

    api_version = 2
    summary = "three MNIST digits as the channels of one image, 1,000 modes: 128,000 + 26,000 images of 28x28"
    source = "MNIST, as in Metz et al. 2017, arXiv:1611.02163, and Lin et al. 2018, PacGAN, arXiv:1712.04086"

    def on_disk(self, where: DataLocation) -> bool:
        from ganzoo.data import on_disk

        return on_disk("mnist", where)

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        import numpy as np

        from ganzoo.data import ImageData, load
        from ganzoo.data.images import sha256_of

        digits = load("mnist", where, split, image_size)
        assert isinstance(digits, ImageData)
        indices = np.random.default_rng(SEEDS[split]).integers(len(digits), size=(COUNTS[split], STACK))
        images = digits.images[indices, 0]
        return ImageData(images, None, (), "stacked_mnist", split, sha256_of(images, None), channels_of="mnist")

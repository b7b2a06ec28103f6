"""The digits of scikit-learn: bundled, no download."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ganzoo.plugin import DataLocation, Dataset, Split

if TYPE_CHECKING:
    from ganzoo.data.images import ImageData

TEST_EVERY = 5


class Digits(Dataset):
    """The test split is every fifth image of each digit; every fifth image of all would not cover the digits evenly."""

    api_version = 2
    summary = "small handwritten digits, bundled: 1,442 + 355 grey images of 8x8"
    source = "Alpaydin, Kaynak, 1998, UCI Optical Recognition of Handwritten Digits, via scikit-learn; CC BY 4.0"

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        import numpy as np

        from ganzoo.data.digits import scikit_learn_digits
        from ganzoo.data.images import ImageData, resize, sha256_of

        images, labels = scikit_learn_digits()
        test = np.zeros(len(labels), dtype=bool)
        for digit in range(10):
            test[np.flatnonzero(labels == digit)[TEST_EVERY - 1 :: TEST_EVERY]] = True
        chosen = test if split == "test" else ~test
        images, labels = images[chosen], labels[chosen]
        if image_size is not None:
            images = resize(images, image_size)
        return ImageData(images, labels, tuple("0123456789"), "digits", split, sha256_of(images, labels))

"""MNIST and drop-in replacements, published as IDX files."""

from __future__ import annotations

import gzip
import math
from typing import TYPE_CHECKING, ClassVar

from ganzoo.errors import DataError
from ganzoo.plugin import DataLocation, Dataset, Split

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ganzoo.data.download import File
    from ganzoo.data.images import ImageData

FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


class _IDX(Dataset):
    """Base class: four files, in torchvision's layout (`DIR/MNIST/raw`)."""

    title: ClassVar[str]
    folder: ClassVar[str]
    """The data set's folder in the data directory; in lower case, its folder in the cache."""
    mirrors: ClassVar[tuple[str, ...]]
    sha256: ClassVar[tuple[str, str, str, str]]
    """SHA-256 of train images, train labels, test images, test labels."""
    unpacked: ClassVar[bool] = True
    """Whether `sha256` is of the decompressed content, or else of the .gz files."""
    class_names: ClassVar[tuple[str, ...]]

    def on_disk(self, where: DataLocation) -> bool:
        from ganzoo.data.download import find

        return all(find(file, where) for split in ("train", "test") for file in self.files(split))

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        import numpy as np

        from ganzoo.data.download import fetch
        from ganzoo.data.images import ImageData, resize, sha256_of

        family = [*self.files("train"), *self.files("test")]
        arrays = []
        for file, dimensions in zip(self.files(split), (3, 1), strict=True):
            data = fetch(file, where, family)
            if not self.unpacked:
                data = gzip.decompress(data)
            arrays.append(parse(data, dimensions, f"{self.title}: {file.name}"))
        images, labels = arrays[0][:, None], arrays[1].astype(np.int64)
        if image_size is not None:
            images = resize(images, image_size)
        return ImageData(images, labels, self.class_names, self.title, split, sha256_of(images, labels))

    def files(self, split: str) -> list[File]:
        """The files of `split`: images and labels."""
        from ganzoo.data.download import File

        digests = dict(zip([*FILES["train"], *FILES["test"]], self.sha256, strict=True))
        folders = (f"{self.folder}/raw", "raw", ".")
        return [
            File(name, f"sha256:{digests[name]}", self.mirrors, folders, self.folder.lower(), self.unpacked)
            for name in FILES[split]
        ]


def parse(data: bytes, dimensions: int, name: str) -> npt.NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes; raises `DataError` unless it has this number of `dimensions`."""
    import numpy as np

    header = 4 + 4 * dimensions
    magic = bytes([0, 0, 8, dimensions])
    if data[:4] != magic:
        raise DataError(
            f"{name} is not an IDX file of images or labels: it starts with {data[:4].hex()}, expected {magic.hex()}."
        )
    if len(data) < header:
        raise DataError(f"{name} is truncated: it has {len(data)} bytes, fewer than the {header} of its header.")
    shape = [int.from_bytes(data[at : at + 4], "big") for at in range(4, header, 4)]
    size = header + math.prod(shape)
    if size == header:
        raise DataError(f"{name} is empty: its shape is {shape}.")
    if len(data) != size:
        raise DataError(f"{name} has {len(data)} bytes, but its shape {shape} requires {size}.")
    array: npt.NDArray[np.uint8] = np.frombuffer(data, np.uint8, offset=header).reshape(shape).copy()
    return array


class MNIST(_IDX):
    api_version = 2
    summary = "handwritten digits: 60,000 + 10,000 grey images of 28x28"
    source = "LeCun, Cortes, Burges, 1998; CC BY-SA 3.0"
    title = "MNIST"
    folder = "MNIST"
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    sha256 = (
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    )
    class_names = tuple("0123456789")


class FashionMNIST(_IDX):
    api_version = 2
    summary = "articles of clothing: 60,000 + 10,000 grey images of 28x28"
    source = "Xiao, Rasul, Vollgraf, 2017, arXiv:1708.07747; MIT"
    title = "Fashion-MNIST"
    folder = "FashionMNIST"
    mirrors = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    )
    sha256 = (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    )
    class_names = (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )


class KMNIST(_IDX):
    api_version = 2
    summary = "cursive Japanese characters: 60,000 + 10,000 grey images of 28x28"
    source = "Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto, Ha, 2018, arXiv:1812.01718; CC BY-SA 4.0"
    title = "KMNIST"
    folder = "KMNIST"
    mirrors = (
        "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
        "https://storage.googleapis.com/kuzushiji-mnist/",
    )
    sha256 = (
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    )
    unpacked = False  # digests are published for the .gz files only, so unpacked files cannot be verified
    class_names = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

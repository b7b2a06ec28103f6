"""CIFAR-10, binary version: nothing is unpickled, and the archive is read in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ganzoo.errors import DataError
from ganzoo.plugin import DataLocation, Dataset, Split

if TYPE_CHECKING:
    from ganzoo.data.download import File
    from ganzoo.data.images import ImageData

FOLDER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
RECORD = 1 + 3 * 32 * 32


class CIFAR10(Dataset):
    """CIFAR-10 from the folder `cifar-10-batches-bin` or the archive, in `DIR` or `DIR/CIFAR10`."""

    api_version = 2
    summary = "objects and animals: 50,000 + 10,000 colour images of 32x32"
    source = "Krizhevsky, 2009, Learning Multiple Layers of Features from Tiny Images; no licence stated"
    mirrors = (
        "https://www.cs.toronto.edu/~kriz/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
    )
    sha256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    md5: ClassVar[dict[str, str]] = {
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
    }
    """MD5 of the files in an unpacked folder."""
    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def on_disk(self, where: DataLocation) -> bool:
        from ganzoo.data.download import find

        unpacked = all(find(file, where) for split in ("train", "test") for file in self.batches(split))
        return unpacked or find(self.archive(), where) is not None

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        import numpy as np

        from ganzoo.data.download import fetch, find
        from ganzoo.data.images import ImageData, resize, sha256_of

        batches = self.batches(split)
        if all(find(batch, where) for batch in batches):
            data = b"".join(fetch(batch, where) for batch in batches)
        else:
            data = b"".join(members(fetch(self.archive(), where), [batch.name for batch in batches]))
        if not data or len(data) % RECORD:
            raise DataError(f"CIFAR-10: {len(data)} bytes are not a whole number of records of {RECORD} bytes.")
        records = np.frombuffer(data, np.uint8).reshape(-1, RECORD)
        labels = records[:, 0].astype(np.int64)
        images = records[:, 1:].reshape(-1, 3, 32, 32).copy()
        if image_size is not None:
            images = resize(images, image_size)
        return ImageData(images, labels, self.class_names, "CIFAR-10", split, sha256_of(images, labels))

    def archive(self) -> File:
        """The file to download."""
        from ganzoo.data.download import File

        return File(ARCHIVE, f"sha256:{self.sha256}", self.mirrors, (".", "CIFAR10"), "cifar10")

    def batches(self, split: str) -> list[File]:
        """The files of `split` in an unpacked folder."""
        from ganzoo.data.download import File

        folders = (FOLDER, f"CIFAR10/{FOLDER}", ".")
        return [
            File(name, f"md5:{digest}", self.mirrors, folders, f"cifar10/{FOLDER}")
            for name, digest in self.md5.items()
            if name.startswith("test") == (split == "test")
        ]


def members(archive: bytes, names: list[str]) -> list[bytes]:
    """The contents of the files `names` in the archive's folder; raises `DataError` if one is missing."""
    import io
    import tarfile

    contents = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            for member in tar:
                folder, _, name = member.name.rpartition("/")
                if folder == FOLDER and name in names and member.isfile():
                    contents[name] = tar.extractfile(member).read()  # type: ignore[union-attr]  # isfile() was checked
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{ARCHIVE} cannot be unpacked: {error}.") from None
    missing = [name for name in names if name not in contents]
    if missing:
        raise DataError(f"{ARCHIVE} is incomplete: {FOLDER} lacks {', '.join(missing)}.")
    return [contents[name] for name in names]

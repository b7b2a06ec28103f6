from __future__ import annotations

import hashlib
import io
import tarfile

import numpy as np
import pytest
from ganzoo_plugins.datasets.cifar10 import ARCHIVE, CIFAR10, FOLDER

from ganzoo.core.errors import DataError
from ganzoo.core.spec import DataLocation, DataSpec
from tests.data.mirror import Mirror

NAMES = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]


def batch(seed: int, count: int = 4) -> bytes:
    records = np.random.default_rng(seed).integers(0, 256, (count, 3073), dtype=np.uint8)
    records[:, 0] = np.arange(count)
    return records.tobytes()


FILES = {name: batch(seed) for seed, name in enumerate(NAMES)}


def pack(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def publish(monkeypatch: pytest.MonkeyPatch, archive: bytes, url: str = "http://127.0.0.1:9/") -> bytes:
    monkeypatch.setattr(CIFAR10, "md5", {name: hashlib.md5(data).hexdigest() for name, data in FILES.items()})
    monkeypatch.setattr(CIFAR10, "sha256", hashlib.sha256(archive).hexdigest())
    monkeypatch.setattr(CIFAR10, "mirrors", (url,))
    return archive


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> bytes:
    return publish(
        monkeypatch,
        pack(
            {"../evil": b"x", f"{FOLDER}/{FOLDER}/test_batch.bin": b"y"}
            | {f"{FOLDER}/{name}": data for name, data in FILES.items()}
        ),
    )


def check_both_splits(where: DataLocation) -> None:
    train, test = CIFAR10().load(where, "train", None, None), CIFAR10().load(where, "test", 8, None)
    assert train.spec == DataSpec(channels=3, size=32, classes=10)
    assert train.images.shape == (20, 3, 32, 32)
    assert train.labels is not None
    assert train.labels.tolist() == [0, 1, 2, 3] * 5
    assert train.images[5].tobytes() == FILES["data_batch_2.bin"][3073 + 1 : 2 * 3073]
    assert test.images.shape == (4, 3, 8, 8)
    assert CIFAR10().on_disk(where)


@pytest.mark.parametrize("folder", [".", "CIFAR10"])
def test_from_the_archive(where: DataLocation, archive: bytes, folder: str) -> None:
    assert where.given is not None
    assert not CIFAR10().on_disk(where)
    (where.given / folder).mkdir(exist_ok=True)
    (where.given / folder / ARCHIVE).write_bytes(archive)
    check_both_splits(where)
    assert not where.cache.exists()


@pytest.mark.parametrize("folder", [FOLDER, f"CIFAR10/{FOLDER}", "."])
def test_from_an_unpacked_folder(where: DataLocation, archive: bytes, folder: str) -> None:
    assert where.given is not None
    (where.given / folder).mkdir(exist_ok=True, parents=True)
    for name, data in FILES.items():
        (where.given / folder / name).write_bytes(data)
    check_both_splits(where)
    damaged = where.given / folder / "data_batch_3.bin"
    damaged.write_bytes(FILES["data_batch_2.bin"])
    with pytest.raises(DataError, match=f"{damaged} is damaged.*{hashlib.md5(FILES['data_batch_2.bin']).hexdigest()}"):
        CIFAR10().load(where, "train", None, None)


def test_downloaded_into_the_cache(where: DataLocation, monkeypatch: pytest.MonkeyPatch, mirror: Mirror) -> None:
    archive = publish(monkeypatch, pack({f"{FOLDER}/{name}": data for name, data in FILES.items()}), mirror.url)
    mirror.serve(ARCHIVE, archive)
    check_both_splits(where)
    assert [path.name for path in (where.cache / "cifar10").iterdir()] == [ARCHIVE]
    assert len(mirror.requests) == 1


def test_offline(where: DataLocation, archive: bytes) -> None:
    with pytest.raises(DataError, match=f"{ARCHIVE} could not be downloaded"):
        CIFAR10().load(where, "train", None, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pack({f"{FOLDER}/other.bin": b""}), f"{FOLDER} lacks test_batch.bin"),
        (pack({f"{FOLDER}/test_batch.bin": b"12345"}), "5 bytes are not a whole number of records"),
        (pack({f"{FOLDER}/test_batch.bin": b"\x63" * 3073}), "labels range from 99 to 99"),
        (b"not an archive", "cannot be unpacked"),
    ],
)
def test_other_archives_are_refused(
    where: DataLocation, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    publish(monkeypatch, content)
    assert where.given is not None
    (where.given / ARCHIVE).write_bytes(content)
    with pytest.raises(DataError, match=message):
        CIFAR10().load(where, "test", None, None)


def test_the_card_is_complete() -> None:
    assert CIFAR10.api_version == 2
    assert sorted(CIFAR10.md5) == NAMES
    assert len(CIFAR10.class_names) == 10

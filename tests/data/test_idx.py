from __future__ import annotations

import gzip
import hashlib
import math
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from ganzoo_plugins.datasets.idx import FILES, KMNIST, MNIST, FashionMNIST, parse
from hypothesis import given
from hypothesis import strategies as st

from ganzoo.core.errors import DataError
from ganzoo.core.plugin import Dataset
from ganzoo.core.spec import DataLocation, DataSpec
from ganzoo.data.images import resize
from tests.data.mirror import Mirror

NAMES = [*FILES["train"], *FILES["test"]]


def idx(array: npt.NDArray[np.uint8]) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.tobytes()


def content(counts: tuple[int, int, int, int] = (20, 20, 10, 10)) -> list[bytes]:
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (count, 28, 28), dtype=np.uint8) for count in counts[::2]]
    labels = [(np.arange(count) % 10).astype(np.uint8) for count in counts[1::2]]
    return [idx(images[0]), idx(labels[0]), idx(images[1]), idx(labels[1])]


def publish(monkeypatch: pytest.MonkeyPatch, card: type, files: list[bytes], mirrors: tuple[str, ...] = ("x",)) -> None:
    """Make `files` the ones whose digests the card expects."""
    monkeypatch.setattr(card, "sha256", tuple(hashlib.sha256(data).hexdigest() for data in files))
    monkeypatch.setattr(card, "mirrors", mirrors)


def save(folder: Path, files: list[bytes], ending: str = ".gz") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in zip(NAMES, files, strict=True):
        (folder / (name.removesuffix(".gz") + ending)).write_bytes(data)


@pytest.fixture(scope="module")
def real() -> DataLocation:
    folder = os.environ.get("GANZOO_DATA")
    if not folder or not (Path(folder) / "MNIST/raw").is_dir():
        pytest.skip("GANZOO_DATA has no folder MNIST/raw")
    return DataLocation(Path(folder), Path("no-such-cache"))


def test_mnist_is_mnist(real: DataLocation) -> None:
    train = MNIST().load(real, "train", None, None)
    assert train.images.shape == (60_000, 1, 28, 28)
    assert train.spec == DataSpec(channels=1, size=28, classes=10)
    assert train.labels is not None
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert train.images.mean() == pytest.approx(33.318, abs=1e-3)
    assert train.class_names[7] == "7"
    assert train.notes == ()
    assert MNIST().on_disk(real)


def test_mnist_resized(real: DataLocation) -> None:
    test = MNIST().load(real, "test", None, None)
    small = MNIST().load(real, "test", 14, None)
    assert small.images.shape == (10_000, 1, 14, 14)
    assert np.array_equal(small.images[:10], resize(test.images[:10], 14))
    assert small.sha256 != test.sha256


@pytest.mark.parametrize("card", [MNIST, FashionMNIST, KMNIST])
def test_cards_are_complete(card: type[Dataset]) -> None:
    assert card.api_version == 2
    assert card.summary
    assert "CC BY" in card.source or "MIT" in card.source
    assert card.argument is None
    assert len(set(card.sha256)) == 4  # type: ignore[attr-defined]
    assert all(len(digest) == 64 for digest in card.sha256)  # type: ignore[attr-defined]
    assert len(card.mirrors) >= 2  # type: ignore[attr-defined]
    assert len(set(card.class_names)) == 10  # type: ignore[attr-defined]


@pytest.mark.parametrize("folder", ["FashionMNIST/raw", "raw", "."])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_files_are_found_in_the_layout_of_torchvision(
    where: DataLocation, monkeypatch: pytest.MonkeyPatch, folder: str, ending: str
) -> None:
    files = content()
    publish(monkeypatch, FashionMNIST, files)
    card = FashionMNIST()
    assert not card.on_disk(where)
    assert where.given is not None
    save(where.given / folder, [gzip.compress(data) for data in files] if ending else files, ending)
    assert card.on_disk(where)
    train, test = card.load(where, "train", None, None), card.load(where, "test", 32, None)
    assert idx(train.images[:, 0]) == files[0]
    assert test.images.shape == (10, 1, 32, 32)
    assert test.labels is not None
    assert test.labels.tolist() == list(range(10))
    assert not where.cache.exists()


def test_kmnist_uses_only_what_can_be_verified(where: DataLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    files = content()
    packed = [gzip.compress(data) for data in files]
    publish(monkeypatch, KMNIST, packed, ("http://127.0.0.1:9/",))
    assert where.given is not None
    folder = where.given / "KMNIST/raw"
    save(folder, files, "")
    assert not KMNIST().on_disk(where)
    with pytest.raises(DataError, match="is not used: only the published train-images"):
        KMNIST().load(where, "train", None, None)
    save(folder, packed)
    assert idx(KMNIST().load(where, "train", None, None).images[:, 0]) == files[0]
    (folder / NAMES[0]).write_bytes(gzip.compress(files[0], 1))  # the right content in another compression
    with pytest.raises(DataError, match="not the published file"):
        KMNIST().load(where, "train", None, None)


def test_downloaded_once_into_the_cache(where: DataLocation, monkeypatch: pytest.MonkeyPatch, mirror: Mirror) -> None:
    files = content()
    publish(monkeypatch, MNIST, files, (mirror.url + "gone/", mirror.url))
    for name, data in zip(NAMES, files, strict=True):
        mirror.serve(name, gzip.compress(data))
    first = MNIST().load(where, "train", None, None)
    assert sorted(path.name for path in (where.cache / "mnist").iterdir()) == sorted(NAMES[:2])
    requests = len(mirror.requests)
    assert MNIST().load(where, "train", None, None).sha256 == first.sha256
    assert len(mirror.requests) == requests
    assert not MNIST().on_disk(where)
    MNIST().load(where, "test", None, None)
    assert MNIST().on_disk(where)


def test_offline_names_all_four_files(where: DataLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(monkeypatch, MNIST, content(), ("http://127.0.0.1:9/",))
    with pytest.raises(DataError) as error:
        MNIST().load(where, "test", None, None)
    assert all(name in str(error.value) for name in NAMES)
    assert str(Path("given/MNIST/raw")) in str(error.value)


def test_fewer_labels_than_images_are_refused(where: DataLocation, monkeypatch: pytest.MonkeyPatch) -> None:
    files = content((20, 19, 10, 10))
    publish(monkeypatch, MNIST, files)
    assert where.given is not None
    save(where.given, files, "")
    with pytest.raises(DataError, match="target 20, label 19"):
        MNIST().load(where, "train", None, None)


@given(st.integers(1, 3), st.binary(max_size=40), st.data())
def test_arbitrary_bytes_are_refused_or_parsed_exactly(dimensions: int, tail: bytes, data: st.DataObject) -> None:
    sizes = st.one_of(st.integers(0, 5), st.just(2**32 - 1))
    shape = data.draw(st.lists(sizes, min_size=dimensions, max_size=dimensions))
    head = data.draw(st.sampled_from([bytes([0, 0, 8, dimensions]), bytes([0, 0, 13, dimensions]), b"", b"\0\0"]))
    content = head + b"".join(size.to_bytes(4, "big") for size in shape)[: data.draw(st.integers(0, 12))] + tail
    try:
        array = parse(content, dimensions, "it")
    except DataError:
        return
    assert idx(array) == content


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.data())
def test_parsing_inverts_writing(shape: list[int], data: st.DataObject) -> None:
    size = math.prod(shape)
    array = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), np.uint8).reshape(shape)
    assert np.array_equal(parse(idx(array), len(shape), "it"), array)
    for other in (idx(array)[:-1], idx(array) + b"\0"):
        with pytest.raises(DataError, match="requires"):
            parse(other, len(shape), "it")

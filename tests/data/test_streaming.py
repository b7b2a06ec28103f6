"""Images that are decoded whenever they are read, from a disk or from object storage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
import torch
from ganzoo_plugins.datasets import streaming
from ganzoo_plugins.datasets.folder import Folder
from PIL import Image

import ganzoo
from ganzoo.core.errors import DataError, StorageError, UsageError
from ganzoo.core.spec import DataLocation
from ganzoo.core.storage import RemoteFolder
from ganzoo.data import ImageData, parallel
from ganzoo.data.streamed import Streamed
from ganzoo.training.batches import Batches
from tests.conftest import Command
from tests.ranks import together
from tests.runs import assert_same, last_state

CPU = torch.device("cpu")
COUNT = 40
SMALL = {"batch_size": 8, "discriminator_steps": 2, "generator_widths": (8,), "discriminator_widths": (8,)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder of two classes, with a file among them that is no picture."""
    folder = tmp_path / "pictures"
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        path = folder / "ab"[number % 2] / f"{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)).save(path)
    (folder / "b/broken.png").write_bytes(b"no picture")
    return folder


def local(root: Path) -> str:
    return str(root)


def zipped(root: Path) -> str:
    return shutil.make_archive(str(root), "zip", root)


def uploaded(url: str, path: str) -> str:
    fs, target = fsspec.core.url_to_fs(url)
    fs.put(path, target, recursive=True)
    return url


def at(where: DataLocation, place: str, options: str = "stream=yes", size: int | None = 8) -> ImageData:
    return Folder().load(where, "train", size, f"{options}:{place}" if options else place)


def same(one: ImageData, other: ImageData) -> None:
    assert np.array_equal(one.images, other.images)
    assert np.array_equal(one.labels, other.labels)  # type: ignore[arg-type]
    assert (one.sha256, one.notes, one.class_names) == (other.sha256, other.notes, other.class_names)


@pytest.mark.parametrize("place", [local, zipped])
@pytest.mark.parametrize("storage", ["", "memory://", "s3://"])
def test_streamed_images_are_those_of_the_cache(
    place: Callable[[Path], str], storage: str, where: DataLocation, root: Path, request: pytest.FixtureRequest
) -> None:
    cached = at(DataLocation(None, root.parent / "other"), str(root), "")
    source = place(root)
    if storage:
        base = request.getfixturevalue("bucket") if storage == "s3://" else "memory:/"
        source = uploaded(f"{base}/{root.parent.name}/{Path(source).name}", source)
    streamed = at(where, source)
    assert isinstance(streamed.images, Streamed)
    same(streamed, cached)
    assert cached.notes == ("1 of 41 files skipped: b/broken.png (cannot identify image)",)
    stored = sum(file.stat().st_size for file in where.cache.rglob("*") if file.is_file())
    assert stored < 3000 < cached.images.nbytes
    same(at(where, source, "stream=no"), cached)


def test_files_stream_where_the_cache_has_no_room(
    where: DataLocation, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming.shutil, "disk_usage", lambda _: SimpleNamespace(free=COUNT * 3 * 8 * 8))
    first = at(where, str(root), "")
    assert isinstance(first.images, Streamed)
    assert "0.0 GB, did not fit into the cache: files are decoded whenever they are read" in first.notes[-1]
    monkeypatch.setattr("ganzoo_plugins.datasets.pictures._readable", None)  # the index is read, not made again
    assert at(where, str(root), "").sha256 == first.sha256
    monkeypatch.undo()
    assert isinstance(at(where, str(root), "").images, np.memmap)  # where there is room, an index does not matter
    assert isinstance(at(where, str(root), "", size=10).images, np.memmap)
    with pytest.raises(UsageError, match="stream=maybe is not valid: expected stream=yes or stream=no"):
        at(where, str(root), "stream=maybe")


@pytest.mark.parametrize("cores", [1, 3])
def test_batches_are_the_same_in_and_out_of_turn(
    cores: int, where: DataLocation, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: set(range(cores)))
    streamed = Batches(at(where, str(root)), 6, 1, CPU)
    mapped = Batches(at(where, str(root), "stream=no"), 6, 1, CPU)
    state = torch.get_rng_state()
    for number in (*range(3, 15), 13, 14, 2, 15, 16):  # epochs have 6 batches
        for one, other in zip(streamed(number), mapped(number)):
            assert torch.equal(one, other)  # type: ignore[arg-type]
    assert torch.equal(torch.get_rng_state(), state)


def train(out: Path, dataset: str, steps: int = 6) -> None:
    ganzoo.train("dcgan", dataset=dataset, steps=steps, out=out, image_size=8, batch_size=8, width=4)


def resume(out: Path, dataset: str, steps: int) -> None:
    ganzoo.train(resume=out, dataset=dataset, steps=steps)


@pytest.mark.parametrize("dataset", ["folder:{}", "mosaic:folder:{}"])
def test_training_on_a_stream_is_exact_also_after_a_change_to_the_cache(
    dataset: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    mapped, streamed = (dataset.format(f"stream={word}:{root}") for word in ("no", "yes"))
    train(tmp_path / "mapped", mapped)
    train(tmp_path / "streamed", streamed, 3)
    ganzoo.train(resume=tmp_path / "streamed", steps=5)
    ganzoo.train(resume=tmp_path / "streamed", dataset=mapped, steps=6)
    one, other = (last_state(tmp_path / name) for name in ("mapped", "streamed"))
    for state in (one, other):
        del state["state"]["identity"]["dataset"]["name"]
    assert_same(one, other)


@pytest.mark.slow
def test_two_ranks_decode_their_own_share(root: Path, tmp_path: Path) -> None:
    for word in ("no", "yes"):
        codes = together(
            2, train, tmp_path / word, f"folder:stream={word}:{root}", folder=tmp_path, XDG_CACHE_HOME=tmp_path
        )
        assert codes == [0, 0]
    assert_same(last_state(tmp_path / "no")["model"], last_state(tmp_path / "yes")["model"])


def test_a_file_that_is_lost_or_changed_meanwhile_is_named(where: DataLocation, root: Path) -> None:
    data = at(where, str(root))
    (root / "a/04.png").unlink()
    with pytest.raises(DataError, match=r"a/04\.png can no longer be read: No such file or directory\. Put it back"):
        data.values[:]
    Image.new("RGB", (12, 10)).save(root / "a/04.png")
    with pytest.raises(DataError, match=r"a/04\.png is no longer the image that training began with"):
        data.values[:]


def test_a_lost_file_stops_a_training_with_one_message(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ganzoo_cli: Command
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1, 2})
    read = Streamed.in_turn

    def lose(self: Streamed, batches: object) -> object:
        (root / "a/04.png").unlink()
        return read(self, batches)  # type: ignore[arg-type]

    monkeypatch.setattr(Streamed, "in_turn", lose)
    words = ("vanilla", "--dataset", f"folder:stream=yes:{root}", "--steps", 20, "--set", "batch_size=8")
    result = ganzoo_cli("train", *words, "--out", tmp_path / "run")
    assert result.code == 1
    assert "Error: a/04.png can no longer be read: No such file or directory." in result.err
    assert "Traceback" not in result.err


def test_storage_that_fails_skips_no_file(
    where: DataLocation, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = uploaded(f"memory://{tmp_path.name}/failing", str(root))

    def fail(self: RemoteFolder, name: str) -> object:
        raise StorageError(f"{self.url} cannot be read: timeout")

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "open", fail)
        with pytest.raises(StorageError, match="timeout"):
            at(where, url)
    assert len(at(where, url)) == COUNT
    with pytest.raises(DataError, match="There is nothing at memory://"):
        at(where, "memory://nowhere/at/all")

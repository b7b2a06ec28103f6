"""`folder:` decodes images once, in several processes, says how far it is, and waits for no file forever."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_plugins.datasets import deadline, files, pixels
from PIL import Image

from ganzoo.core.errors import DataError
from ganzoo.core.spec import DataLocation
from ganzoo.data import parallel
from tests.data.pictures import GREEN, archive, draw, load


def test_decoded_once_and_again_when_something_changes(
    where: DataLocation, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = draw(root / "a.png")
    draw(root / "b.png")
    first = load(where, root)
    with monkeypatch.context() as patch:
        patch.setattr("ganzoo_plugins.datasets.pixels.read", lambda *_: pytest.fail("decoded again"))
        assert load(where, root).sha256 == first.sha256
    draw(path, colour=GREEN)
    os.utime(path, ns=(1, 1))
    changed = load(where, root)
    assert changed.sha256 != first.sha256
    path.unlink()
    assert len(load(where, root)) == 1
    assert len(list((where.cache / "folder").iterdir())) == 3


def test_a_damaged_cache_is_built_again(where: DataLocation, root: Path) -> None:
    draw(root / "a.png")
    first = load(where, root)
    (stored,) = (where.cache / "folder").glob("*/images.u8")
    os.truncate(stored, 7)
    assert load(where, root).sha256 == first.sha256


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="decoding starts worker processes on Linux only")
def test_workers_decode_what_one_process_does(
    where: DataLocation, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for number in range(70):
        pixels = rng.integers(0, 256, (11, 13, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / f"{number:03d}.png")
    (root / "040.png").write_bytes(b"no picture")
    packed = archive(tmp_path / "packed.zip", root)
    alone = load(where, root)
    monkeypatch.setattr(parallel, "FEW", 1)
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1, 2})
    state = torch.get_rng_state()
    for number, source in enumerate((root, packed)):
        data = load(DataLocation(None, tmp_path / f"cache-{number}"), source)
        assert np.array_equal(data.images, alone.images)
        assert (data.sha256, data.notes) == (alone.sha256, alone.notes)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_worker_that_is_killed_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "FEW", 1)
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1})
    parent = os.getpid()
    with pytest.raises(DataError, match="The files cannot be read: DataLoader worker"):
        list(parallel.in_order(lambda _: os.getpid() == parent or os.kill(os.getpid(), 9), 100, "Working"))


def test_progress_is_said_from_the_first_second(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = iter(range(100))
    monkeypatch.setattr(parallel.time, "monotonic", lambda: 0.6 * next(now))
    assert list(parallel.in_order(lambda number: number, 20, "Decoding images")) == list(range(20))
    assert caplog.messages[0] == "Decoding images: 1 of 20, 1 per second"
    assert len(caplog.messages) == 3


def test_a_file_that_never_ends_is_skipped(where: DataLocation, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(root / "a.png")
    draw(root / "b.png")
    ordinary, count = pixels.read, 0

    def stuck(*arguments: object) -> pixels.Pixels:
        nonlocal count
        count += 1
        while count == 1:
            pass
        return ordinary(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(deadline, "SECONDS", 0.2)
    monkeypatch.setattr(pixels, "read", stuck)
    data = load(where, root)
    assert (len(data), data.notes) == (1, ("1 of 2 files skipped: a.png (it takes longer than 0.2 s to decode)",))


def test_a_long_search_for_files_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "tom.png").touch()
    now = itertools.count()
    monkeypatch.setattr(files.time, "monotonic", lambda: 6.0 * next(now))
    assert len(files.listing(str(tmp_path)).files) == 1
    assert caplog.messages[-1] == f"Looking for files in {tmp_path}: 0 so far, now in cats/"

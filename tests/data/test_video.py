"""Clips: the data set `video:PATH` and the modality."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_plugins.datasets import videos
from ganzoo_plugins.datasets.videos import Video
from PIL import Image

import ganzoo
from ganzoo.core.errors import DataError, UsageError
from ganzoo.core.spec import DataLocation, Field
from ganzoo.data import ArrayData, parallel
from ganzoo.data.modality import get_modality
from tests.conftest import Command

FIELD = Field("video", (4, 1, 8, 8), {"fps": 10.0})


def frames(count: int, value: int, size: tuple[int, int] = (8, 8)) -> list[np.ndarray]:
    """Frames that grow brighter."""
    return [np.full(size, value + 3 * i, np.uint8) for i in range(count)]


def gif(path: Path, pixels: list[np.ndarray], duration: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = map(Image.fromarray, pixels)
    first.save(path, save_all=True, append_images=rest, duration=duration)


def load(where: DataLocation, path: Path, split: str = "train", options: str = "frames=4:") -> ArrayData:
    return Video().load(where, split, None, f"{options}{path}")  # type: ignore[arg-type]


def test_folders_are_classes_and_longer_clips_are_cut(where: DataLocation, tmp_path: Path) -> None:
    for number, name in enumerate(("up", "down")):
        gif(tmp_path / f"films/train/{name}/a.gif", frames(4, 60 * number))
        gif(tmp_path / f"films/test/{name}/a.gif", frames(9, 60 * number + 1))
    train, test = load(where, tmp_path / "films"), load(where, tmp_path / "films", "test")
    assert train.class_names == test.class_names == ("down", "up")
    assert train.spec.target == test.spec.target == FIELD
    assert train.labels is not None
    assert [list(train.values[i, :, 0, 0, 0]) for i in np.argsort(-train.labels)] == [[0, 3, 6, 9], [60, 63, 66, 69]]
    assert len(test) == 4
    assert test.notes == ("2 of 2 clips are longer than 4 frames and were cut: 4 in all",)
    assert train.sha256 == load(where, tmp_path / "films").sha256 != test.sha256


def test_workers_decode_what_one_process_does(
    where: DataLocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        gif(tmp_path / f"films/{number:02d}.gif", frames(4 + 3 * number, 60 + number))
    (tmp_path / "films/05.gif").write_bytes(b"no clip")
    alone = load(where, tmp_path / "films")
    monkeypatch.setattr(parallel, "FEW", 1)
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setattr(videos, "LONG_BYTES", 5 * 4 * 8 * 8)  # the longest are decoded in this process
    data = load(DataLocation(None, tmp_path / "other"), tmp_path / "films")
    assert len(data) > 36
    assert "05.gif" in data.notes[0]
    assert (data.sha256, data.notes) == (alone.sha256, alone.notes)


def test_a_folder_of_images_is_a_clip(where: DataLocation, tmp_path: Path) -> None:
    for clip in ("one", "two"):
        for number, pixels in enumerate(frames(4, 10 if clip == "one" else 90)):
            (tmp_path / "films/things" / clip).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / "films/things" / clip / f"{number}.png")
    data = load(where, tmp_path / "films")
    assert (data.class_names, data.values[:, :, 0, 0, 0].tolist()) == (
        ("things",),
        [[10, 13, 16, 19], [90, 93, 96, 99]],
    )


def test_equal_frames_that_a_file_stores_as_one_count(where: DataLocation, tmp_path: Path) -> None:
    gif(tmp_path / "films/a.gif", frames(4, 0))
    gif(tmp_path / "films/b.gif", frames(4, 40))
    still = frames(1, 80) * 3 + frames(1, 99)
    gif(tmp_path / "films/c.gif", still)
    with Image.open(tmp_path / "films/c.gif") as stored:
        assert stored.n_frames == 2  # type: ignore[attr-defined]
    assert load(where, tmp_path / "films").values[2, :, 0, 0, 0].tolist() == [80, 80, 80, 99]


def test_colour_and_other_sizes(where: DataLocation, tmp_path: Path) -> None:
    gif(tmp_path / "films/a.gif", [np.full((8, 8, 3), (200, 10 * i, 0), np.uint8) for i in range(4)])
    gif(tmp_path / "films/b.gif", frames(4, 9, (16, 12)))
    data = load(where, tmp_path / "films")
    assert data.spec.shape == (4, 3, 8, 8)
    assert "frames are scaled and cropped to 8x8; another size: video:size=HEIGHTxWIDTH:PATH" in data.notes
    assert load(where, tmp_path / "films", options="frames=2,size=6x10:").spec.shape == (2, 3, 6, 10)


def test_videos_through_pyav(where: DataLocation, tmp_path: Path) -> None:
    pytest.importorskip("av")
    from ganzoo.data import film

    (tmp_path / "films").mkdir()
    film.write([torch.full((3, 32, 32), 20 * i, dtype=torch.uint8) for i in range(8)], tmp_path / "films/a.mp4", 20)
    data = load(where, tmp_path / "films", options="frames=8,size=32x32:")
    assert data.spec.target == Field("video", (8, 3, 32, 32), {"fps": 20.0})
    assert np.abs(data.values[0].mean((1, 2, 3)) - 20 * np.arange(8)).max() < 8  # H.264 is lossy


def test_what_cannot_be_read_is_named(where: DataLocation, tmp_path: Path) -> None:
    gif(tmp_path / "films/a.gif", frames(4, 0))
    gif(tmp_path / "films/short.gif", frames(2, 0))
    (tmp_path / "films/bad.gif").write_bytes(b"GIF89a....")
    (tmp_path / "films/notes.txt").write_text("x")
    notes = " ".join(load(where, tmp_path / "films").notes)
    for words in ("1 files ignored: notes.txt", "2 of 3 clips skipped: bad.gif (", "short.gif (2 frames)"):
        assert words in notes
    with pytest.raises(DataError, match="Fewer frames: video:frames=N:PATH"):
        load(where, tmp_path / "films", options="frames=99:")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="contains no clips"):
        load(where, tmp_path / "empty")
    for options in ("frames=1:", "frames=many:", "frame=8:"):
        with pytest.raises(UsageError, match=options.split("=")[0]):
            load(where, tmp_path / "films", options=options)


def test_every_value_comes_back() -> None:
    values = torch.arange(256).to(torch.uint8).reshape(1, 4, 1, 8, 8)
    modality = get_modality("video")
    encoded = modality.encode(values, FIELD)
    assert (encoded.min(), encoded.max()) == (-1, 1)
    assert torch.equal(modality.decode(encoded, FIELD), values)
    with pytest.raises(DataError, match="fps"):
        modality.field(values.numpy(), {})


def test_a_strip_shows_the_frames_in_order() -> None:
    clip = torch.arange(16).to(torch.uint8)[None, :, None, None, None].expand(2, 16, 1, 4, 6)
    strips = get_modality("video").images(clip, FIELD)
    assert strips is not None
    assert strips.shape == (2, 1, 4, 48)
    assert strips[0, 0, 0, ::6].tolist() == [0, 2, 4, 6, 8, 10, 12, 14]


def test_trains_samples_and_evaluates(tmp_path: Path, ganzoo_cli: Command) -> None:
    for number in range(24):
        gif(tmp_path / f"films/{number}.gif", frames(4, 5 * number, (16, 16)))
    data = f"video:frames=4:{tmp_path / 'films'}"
    run = ganzoo.train("vanilla", dataset=data, steps=2, batch_size=8, out=tmp_path / "run", generator_widths=(16,))
    for target in ("clips.gif", "clips", "strip.png", "arrays.npz"):
        done = ganzoo_cli("sample", run.path, "--count", 4, "--seed", 0, "--out", tmp_path / target)
        assert (done.code, "4 clips written to" in done.out) == (0, True), done.err
    with np.load(tmp_path / "arrays.npz") as arrays, Image.open(tmp_path / "strip.png") as strip:
        stored = arrays["video"]
        assert (stored.shape, strip.size) == ((4, 4, 1, 16, 16), (2 * 66 + 2, 2 * 18 + 2))
    with Image.open(tmp_path / "clips/0.gif") as clip:  # written as it is
        assert np.array_equal(np.asarray(clip.convert("L")), stored[0, 0, 0])
    done = ganzoo_cli("evaluate", run.path, "--metrics", "swd,ms_ssim", "--samples", 8)
    assert done.code == 0, done.err
    refused = ganzoo_cli("train", "dcgan", "--dataset", data, "--out", tmp_path / "none")
    assert (refused.code, "video" in refused.err, (tmp_path / "none").exists()) == (2, True, False)

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ganzoo.data import film
from ganzoo.errors import GanzooError, UsageError


def frames(channels: int = 1, count: int = 12, side: int = 9) -> list[torch.Tensor]:
    pixels = torch.randint(0, 256, (count, channels, side, side), generator=torch.Generator().manual_seed(0))
    return list(pixels.to(torch.uint8))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("ending", [".gif", ".apng"])
def test_a_film_holds_its_frames_enlarged_and_repeats(channels: int, ending: str, tmp_path: Path) -> None:
    pictures, path = frames(channels), tmp_path / f"film{ending}"
    film.write(iter(pictures), path, fps=20, text={"seeds": "1,2"}, hold=1)
    image: Any = Image.open(path)
    assert (image.n_frames, image.size, image.info["loop"]) == (12, (252, 252), 0)
    durations = []
    for i, picture in enumerate(pictures):
        image.seek(i)
        durations.append(image.info["duration"])
        shown = np.asarray(image.convert("RGB"))[14::28, 14::28].astype(int)
        assert np.abs(shown - picture.expand(3, -1, -1).permute(1, 2, 0).numpy()).max() <= (0 if channels == 1 else 8)
    assert durations == [50] * 11 + [1050]
    comment = image.info.get("comment", image.info.get("Comment"))
    assert json.loads(comment) == {"seeds": "1,2"}
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("side", [9, 300, 301])
def test_mp4(side: int, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    grey = [torch.full((1, side, side), value, dtype=torch.uint8) for value in (0, 128, 255)]
    film.write(grey, tmp_path / "film.mp4", fps=10, text={"seeds": "1,2"}, hold=0.5)
    with av.open(str(tmp_path / "film.mp4")) as container:
        stream = container.streams.video[0]
        assert json.loads(container.metadata["comment"]) == {"seeds": "1,2"}
        assert stream.average_rate == 10
        means = [frame.to_ndarray(format="rgb24")[:200, :200].mean() for frame in container.decode(stream)]
    assert means == pytest.approx([0, 128, 255, 255, 255, 255, 255, 255], abs=3)


def test_gif_times_add_up_although_it_counts_hundredths(tmp_path: Path) -> None:
    film.write(frames(count=30), tmp_path / "film.gif", fps=30)
    image: Any = Image.open(tmp_path / "film.gif")
    total = 0
    for i in range(image.n_frames):
        image.seek(i)
        total += image.info["duration"]
    assert total == 1000


def test_other_endings_and_impossible_speeds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"films are written as \.gif, \.apng, \.mp4\. Choose .*film\.gif"):
        film.write(frames(), tmp_path / "film.avi")
    with pytest.raises(UsageError, match="at most 50 frames a second, not 60"):
        film.write(frames(), tmp_path / "film.gif", fps=60)
    assert not list(tmp_path.iterdir())


def test_without_pyav_the_message_names_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without_av(name: str, *arguments: Any) -> Any:
        if name == "av":
            raise ImportError(name)
        return original(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_av)
    with pytest.raises(UsageError, match=r"pip install 'ganzoo-core\[video\]'"):
        film.write(frames(), tmp_path / "film.mp4")


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    def broken() -> Any:
        yield frames()[0]
        raise GanzooError("no more")

    for ending in (".gif", ".apng"):
        with pytest.raises(GanzooError, match="no more"):
            film.write(broken(), tmp_path / f"film{ending}")
    assert not list(tmp_path.iterdir())

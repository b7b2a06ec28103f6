"""Folders and archives of anything: they load as what they hold, or are refused with one message.

A small number of them here; `make fuzz` tries many.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ganzoo_plugins.datasets.folder import Folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from ganzoo.core.errors import GanzooError
from ganzoo.core.spec import DataLocation
from ganzoo.data import ImageData

CASES = int(os.environ.get("GANZOO_FUZZ", "40"))
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "HSV", "LAB")
FORMATS = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "bmp": "BMP", "tiff": "TIFF", "webp": "WEBP", "ppm": "PPM"}
NAMES = st.one_of(
    st.sampled_from(
        ["train", "Test", "VAL", "validation", "training", "a", "b", "0", "10", "2", "cafe\u0301", "café", " ", "..x",
         ".hidden", "__MACOSX", "x" * 200, "new\nline", "\x1b[31m", "\udcff", "dataset.json", "con", "-rf", "a,b",
        ]
    ),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=6),
)  # fmt: skip
ENDINGS = st.sampled_from([*FORMATS, "PNG", "jpeg", "heic", "txt", "json", ""])
OPTIONS = st.lists(
    st.sampled_from(["size=5x7", "size=1x1", "size=0x3", "bits=16", "bits=8", "bits=9", "range=0-9", "range=9-0"]),
    max_size=2,
    unique_by=lambda option: option.split("=")[0],
)


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """The content of a file: an image, a part of one, or something else."""
    kind = draw(st.sampled_from(["image", "image", "image", "image", "cut", "flipped", "text", "empty", "labels"]))
    if kind == "empty":
        return b""
    if kind == "text":
        return draw(st.sampled_from([b"hello", b"%!PS-Adobe", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"PK\3\4", b"\0" * 100]))
    if kind == "labels":
        return json.dumps(draw(st.sampled_from(LABELS))).encode()
    sides = st.integers(1, 9)
    pixels = np.random.default_rng(draw(st.integers(0, 9))).integers(0, 256, (draw(sides), draw(sides), 3), np.uint8)
    stream = io.BytesIO()
    format, mode = draw(st.sampled_from(list(FORMATS.values()))), draw(st.sampled_from(MODES))
    try:
        _converted(Image.fromarray(pixels), mode).save(stream, format)
    except (OSError, ValueError, KeyError):  # not every format has every mode
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, format)
    content = stream.getvalue()
    if kind == "cut":
        return content[: draw(st.integers(0, len(content)))]
    if kind == "flipped":
        place = draw(st.integers(0, len(content) - 1))
        return content[:place] + bytes([content[place] ^ (1 << draw(st.integers(0, 7)))]) + content[place + 1 :]
    return content


LABELS: list[Any] = [
    {"labels": [["a/0.png", 1]]}, {"labels": None}, {"labels": [["a", -1]]}, {"labels": [["a", 10**9]]}, [], {"x": 1},
    {"labels": [[1, "a"]]}, {"labels": [["0.png", 0.5]]}, {"labels": "x"}, {"labels": [[]]}, "labels",
]  # fmt: skip


def _converted(image: Image.Image, mode: str) -> Image.Image:
    return image.convert("L").convert(mode) if mode in ("I;16", "I", "F", "LA") else image.convert(mode)


FILES = st.lists(
    st.tuples(st.lists(NAMES, max_size=2), NAMES, ENDINGS, st.one_of(contents(), st.sampled_from(["link", "fifo"]))),
    max_size=7,
)


def make(root: Path, files: list[tuple[list[str], str, str, bytes | str]]) -> None:
    """Make the files of a folder; what the file system does not take is left out."""
    root.mkdir(parents=True)
    for number, (folders, name, ending, content) in enumerate(files):
        path = root.joinpath(*folders, name if name == "dataset.json" else f"{name}{number}.{ending}".rstrip("."))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if os.path.lexists(path):  # writing to a FIFO would wait for a reader
                continue
            if content == "link":
                path.symlink_to(("..", "nowhere", path.name, "/dev/zero")[number % 4])
            elif content == "fifo":
                os.mkfifo(path)
            else:
                assert isinstance(content, bytes)
                path.write_bytes(content)
        except (OSError, UnicodeError):
            continue


def archive(root: Path) -> Path:
    packed = root.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w") as file:
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.is_symlink():
                name = os.fsencode(path.relative_to(root)).decode("utf-8", "replace")
                file.writestr(zipfile.ZipInfo(name), path.read_bytes())
    return packed


def loaded(place: Path, options: list[str], cache: Path, split: Any = "train") -> ImageData | str:
    """The data, or the message of the refusal."""
    written = ",".join(options)
    try:
        data = Folder().load(DataLocation(None, cache), split, None, f"{written}:{place}" if written else str(place))
    except GanzooError as failure:
        return str(failure)
    assert len(data.values[:]) == len(data) > 0
    assert data.labels is None or (len(data.labels) == len(data) and data.labels.max() < len(data.class_names))
    return data


def accounted(data: ImageData, shown: int) -> bool:
    """Whether all files that are shown in a folder without splits and links are loaded or named in a note."""
    notes = " ".join(data.notes)
    skipped = sum(map(int, re.findall(r"(\d+) of \d+ files skipped", notes)))
    ignored = sum(map(int, re.findall(r"(\d+) files ignored \(", notes)))
    return len(data) + skipped + ignored == shown


@settings(max_examples=CASES, suppress_health_check=[HealthCheck.too_slow])
@given(files=FILES, options=OPTIONS, packed=st.booleans())
def test_wild_folders_load_or_are_refused(
    files: list[Any], options: list[str], packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("wild")
    try:
        root = base / "outer" / "photos"
        make(root, files)
        place = archive(root) if packed else root
        data = loaded(place, options, base / "cache")
        stream = loaded(place, [*options, "stream=yes"], base / "cache")
        loaded(place, options, base / "cache", "test")
        if isinstance(data, str):
            assert stream == data
            return
        assert isinstance(stream, ImageData)
        assert (stream.sha256, stream.notes, stream.class_names) == (data.sha256, data.notes, data.class_names)
        assert np.array_equal(stream.images, data.images)
        regular = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        names = [path.relative_to(root).parts for path in regular if path.name != "dataset.json"]
        hidden = (".", "__MACOSX") if packed else (".",)
        shown = [parts for parts in names if not any(part.startswith(hidden) for part in parts)]
        plain = not any(path.is_symlink() for path in root.rglob("*")) and "ignored beside" not in " ".join(data.notes)
        if plain and not any(parts[0].lower() in ("train", "training") for parts in shown):
            assert accounted(data, len(shown)), (data.notes, names)
    finally:
        shutil.rmtree(base)

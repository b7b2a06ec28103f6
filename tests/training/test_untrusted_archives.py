"""Archives in place of state.pt that readers would understand differently, or that are small only on disk."""

from __future__ import annotations

import io
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ganzoo.core.errors import CheckpointError
from ganzoo.training import checkpoint

Change = Callable[[bytes], bytes]


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return checkpoint.save(tmp_path, 1, {}, {}, {"step": 1, "tensors": [torch.arange(100.0), torch.ones(50)]})


def end_record(count: int, size: int, offset: int, comment: bytes = b"") -> bytes:
    return b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, count, count, size, offset, len(comment)) + comment


def zipped(pickled: bytes, method: int = zipfile.ZIP_STORED, names: tuple[str, ...] = ("state/data.pkl",)) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        for name in names:
            archive.writestr(name, pickled)
        archive.writestr("state/version", b"3\n")
        archive.writestr("state/byteorder", b"little")
    return packed.getvalue()


def second_directory(content: bytes) -> bytes:
    """Two archives in one file: the end record of the first is followed by those of the other."""
    return zipped(pickle.dumps({"step": 1}, 2), zipfile.ZIP_DEFLATED) + content


def shared_entries(content: bytes) -> bytes:
    """A central directory that lists its first entry twice, under two names of equal length."""
    archive = zipped(pickle.dumps({"step": 1}, 2))
    start = archive.index(b"PK\x01\x02")
    end = archive.index(b"PK\x05\x06")
    entry = archive[start : archive.index(b"PK\x01\x02", start + 1)]
    directory = entry + entry.replace(b"state/data.pkl", b"state/data/000") + archive[start + len(entry) : end]
    return archive[:start] + directory + end_record(4, len(directory), start)


def patched(old: bytes, new: bytes, last: bool = False) -> Change:
    def change(content: bytes) -> bytes:
        at = content.rindex(old) if last else content.index(old)
        return content[:at] + new + content[at + len(new) :]

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "a byte before": (lambda content: b"\0" + content, "more than one central directory|contradict|Corrupt"),
    "a byte after": (lambda content: content + b"\0", "does not end with the end record|not a zip file"),
    "a comment": (lambda content: content[:-2] + b"\x05\0hello", "does not end with the end record"),
    "two directories": (second_directory, "more than one central directory|first entry is not|contradict"),
    "shared entries": (shared_entries, "does not end where the next one begins|differs from the central"),
    "compressed": (lambda _: zipped(pickle.dumps({"step": 1}, 2), zipfile.ZIP_DEFLATED), "it is compressed"),
    "two pickles": (
        lambda _: zipped(pickle.dumps({"step": 1}, 2), names=("state/data.pkl", "state/DATA.PKL")), "one pickle"
    ),
    "one name twice": (
        lambda _: zipped(pickle.dumps({"step": 1}, 2), names=("state/data.pkl", "state/data.pkl")), "the same name"
    ),
    "a stored entry that the header calls deflated": (
        lambda content: content[:8] + b"\x08\0" + content[10:], "differs from the central directory"
    ),
    "another name in the header": (patched(b"data.pkl", b"data.pkx"), "differs from the central directory"),
    "a count of entries": (lambda content: content[:-12] + b"\xff\xfe" + content[-10:], "contradict|not that of"),
    "a zip64 locator to elsewhere": (
        lambda content: content[: content.rindex(b"PK\x06\x07") + 8] + bytes(8) + content[-26:], "contradict|Corrupt"
    ),
    "nothing": (lambda _: b"", "not a zip file"),
    "no entries": (lambda _: end_record(0, 0, 0), "first entry is not at its beginning"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", CHANGES)
def test_an_archive_that_is_not_plain_is_refused(name: str, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, message = CHANGES[name]
    file = saved / "state.pt"
    assert checkpoint.read_state(saved)["step"] == 1
    file.write_bytes(change(file.read_bytes()))
    monkeypatch.setattr(torch, "load", None)  # refused before torch unfolds it
    with pytest.raises(CheckpointError, match=rf"cannot be read safely: .*({message})"):
        checkpoint.read_state(saved)


def test_a_small_pickle_that_takes_exponential_time_is_refused_at_once(saved: Path) -> None:
    """Nested tuples, each of the one before twice: as a dict's key, all 2^60 are hashed."""
    nested = b"(" + b")" + b"t" + b"q\x00"
    for level in range(60):
        nested += b"h" + bytes([level]) + b"h" + bytes([level]) + b"\x86q" + bytes([level + 1])
    (saved / "state.pt").write_bytes(zipped(b"\x80\x02}" + nested + b"K\x01s."))
    start = time.monotonic()
    with pytest.raises(CheckpointError, match="more than 2,000,000 values"):
        checkpoint.read_state(saved)
    assert time.monotonic() - start < 5


def test_shared_lists_that_unfold_to_billions_are_refused_at_once(saved: Path) -> None:
    value: list[object] = []
    for _ in range(40):
        value = [value, value]
    torch.save({"identity": {"x": value}}, saved / "state.pt")
    start = time.monotonic()
    with pytest.raises(CheckpointError, match="too many values"):
        checkpoint.read_state(saved)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([1], "does not hold a training state"),
        ({"threads": 10**9}, "its threads is not valid"),
        ({"threads": True}, "its threads is not valid"),
        ({"step": -1}, "its step is not valid"),
        ({"seconds": float("nan")}, "its seconds is not valid"),
        ({"identity": {"x": torch.ones(2)}}, "its identity is not valid"),
        ({"identity": []}, "its identity is not valid"),
        ({"torch_rng": 5}, "its torch_rng is not valid"),
        ({(1, 2): 3}, "a key that is a tuple"),
        ({"x": {1, 2}}, "holds a set"),
        ({"x": bytearray(3)}, "holds a bytearray"),
    ],
)
def test_values_that_no_training_writes_are_refused(state: object, message: str, saved: Path) -> None:
    torch.save(state, saved / "state.pt")
    with pytest.raises(CheckpointError, match=f"cannot be read safely: .*{message}"):
        checkpoint.read_state(saved)

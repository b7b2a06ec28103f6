"""Files are written completely or not at all, and a lock holds one process at a time."""

from __future__ import annotations

import errno
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from ganzoo.core.files import atomic, lock, sha256, write_text

HOLD = """
import sys, time
from pathlib import Path
from ganzoo.core.files import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def fill_up(path: Path) -> None:
    path.write_text("half")
    raise OSError("disk is full")


def test_text_replaces_a_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "before")
    write_text(path, "grün")
    assert path.read_text(encoding="utf-8") == "grün"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    with pytest.raises(OSError, match="disk is full"), atomic(path) as temporary:
        fill_up(temporary)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", [None, "temporary", "other"])
def test_errors_name_the_file_that_was_to_be_written(name: str | None, tmp_path: Path) -> None:
    path = tmp_path / "results.json"

    def fail() -> None:
        with atomic(path) as temporary:
            said = {"temporary": str(temporary)}.get(name or "", name)
            raise OSError(errno.ENOSPC, "No space left on device", *([] if said is None else [said]))

    with pytest.raises(OSError, match="No space left") as failure:
        fail()
    assert failure.value.filename == ("other" if name == "other" else str(path))
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_replaces_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_text(path, "first", new=True)
    with pytest.raises(FileExistsError):
        write_text(path, "second", new=True)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_lock_is_held_by_one_process_and_released_when_it_dies(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError, match="is locked by another process"), lock(path, wait=False):
        pass
    process.kill()
    process.wait()
    for _ in range(2):
        with lock(path, wait=False):
            assert path.exists()


def test_a_lock_that_is_a_link_harms_nothing(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "lock"
    target.write_text("precious")
    link.symlink_to(target)
    with pytest.raises(OSError, match="Not a lock"), lock(link, wait=False):
        pass
    assert target.read_text() == "precious"

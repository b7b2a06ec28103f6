"""Atomic writing, hashing and locking of files."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import filelock


@contextlib.contextmanager
def atomic(path: Path, new: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the place of `path`, flushed to disk, when the block ends.

    If the block raises, `path` stays as it was and the temporary file is removed. With `new`, raises FileExistsError
    if `path` exists by then.
    """
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        yield temporary
        flush(temporary)
        if new:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str, new: bool = False) -> None:
    """Write `text` to `path` as UTF-8, atomically; `new` as in `atomic`."""
    with atomic(path, new) as temporary:
        temporary.write_text(text, encoding="utf-8")


def flush(path: Path) -> None:
    """Make a file, or the entries of a directory, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def lock(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold a lock on the file at `path`, created if missing; the operating system releases it if the process dies.

    If another process holds it, wait, or raise BlockingIOError.
    """
    holder = filelock.FileLock(path)
    try:
        holder.acquire(blocking=wait)
    except filelock.Timeout:
        raise BlockingIOError(f"{path} is locked by another process") from None
    try:
        yield
    finally:
        holder.release()

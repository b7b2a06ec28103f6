"""Atomic writing, bounded reading, hashing and locking of files."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import filelock

MAX_JSON_BYTES = 1 << 24
MAX_JSON_DEPTH = 50
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of writing, which do not say to which file."""


@contextlib.contextmanager
def atomic(path: Path, new: bool = False) -> Iterator[Path]:
    """A temporary path beside `path` to write to; it takes the place of `path`, flushed to disk, when the block ends.

    If the block raises, `path` stays as it was and the temporary file is removed. With `new`, raises FileExistsError
    if `path` exists by then. An OSError of the temporary file, or of a full or failing disk, names `path`.
    """
    temporary = path.with_name(f".{path.name}-{os.getpid()}")
    temporary.unlink(missing_ok=True)  # a link of this name must not be written through
    try:
        yield temporary
        flush(temporary)
        if new:
            os.link(temporary, path)
        else:
            os.replace(temporary, path)
    except OSError as failure:
        of_disk = failure.filename is None and failure.errno in DISK_ERRORS
        if failure.filename == str(temporary) or of_disk:
            failure.filename, failure.filename2 = str(path), None
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(path: Path, text: str, new: bool = False) -> None:
    """Write `text` to `path` as UTF-8, atomically, surrogates as backslash escapes; `new` as in `atomic`."""
    with atomic(path, new) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def check_regular(path: Path) -> None:
    """Raise OSError unless `path`, or the target of a link, is a regular file: others may block, or never end."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", str(path))


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; OSError for anything else, such as a FIFO, a device or a directory."""
    check_regular(path)  # before it is opened, which may block or have effects on a device

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    file = open(path, "rb", opener=opener)  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it was replaced in between
        file.close()
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    return file


def read_text(path: Path, limit: int, errors: str = "strict") -> str:
    """The UTF-8 text of a regular file. OSError if it is longer than `limit` bytes, ValueError if it is not UTF-8."""
    with open_regular(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"Larger than {limit:,} bytes", str(path))
    return content.decode("utf-8", errors)


def read_json(path: Path) -> Any:
    """The JSON value in a regular file that may come from anywhere.

    Raises OSError, or ValueError if it is not JSON, is nested too deeply or holds an integer of more than 64 bits.
    """
    return parse_json(read_text(path, MAX_JSON_BYTES))


def parse_json(text: str) -> Any:
    """The value of a JSON text; ValueError as in `read_json`."""
    try:
        value = json.loads(text, parse_int=_int64)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    _check_depth(value, MAX_JSON_DEPTH)
    return value


def _int64(digits: str) -> int:
    number = int(digits)
    if abs(number) >= 1 << 63:
        raise ValueError("it holds an integer of more than 64 bits")
    return number


def _check_depth(value: Any, depth: int) -> None:
    if depth == 0:
        raise ValueError("it is nested too deeply")
    if isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            _check_depth(inner, depth - 1)


def flush(path: Path) -> None:
    """Make a file, or the entries of a directory, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The sha256 of a regular file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def lock(path: Path, wait: bool | float = True) -> Iterator[None]:
    """Hold a lock on the file at `path`, created if missing; the operating system releases it if the process dies.

    If another process holds it, wait, or raise BlockingIOError, at once or after `wait` seconds. Raises OSError if
    `path` is anything but an empty regular file: taking the lock truncates it.
    """
    with contextlib.suppress(FileNotFoundError):
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size:
            raise OSError(errno.EINVAL, "Not a lock, which is an empty regular file", str(path))
    holder = filelock.FileLock(path)
    try:
        holder.acquire(timeout=-1 if wait is True else float(wait))
    except filelock.Timeout:
        raise BlockingIOError(f"{path} is locked by another process") from None
    try:
        yield
    finally:
        holder.release()


def is_locked(path: Path) -> bool:
    """Whether a process holds a `lock` on the file at `path`."""
    if not path.exists():
        return False
    try:
        with lock(path, wait=False):
            return False
    except BlockingIOError:
        return True
    except OSError:  # no lock of ours
        return False

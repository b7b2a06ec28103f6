"""Paths: as users give them, as commands are printed, and the user's folders for what ganzoo keeps."""

from __future__ import annotations

import functools
import os
import re
import shlex
from pathlib import Path

from ganzoo.core.errors import UsageError

URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
COLLAPSED_URL = re.compile(r"(s3|gs|gcs|memory):/")
"""What `pathlib.Path` makes of a URL."""


def is_url(path: object) -> bool:
    """Whether `path` is a URL, such as `s3://bucket/run`, and not a path of this machine."""
    return isinstance(path, str) and URL.match(path) is not None


def user_path(path: str | os.PathLike[str], what: str = "a path") -> Path:
    """The path that a user gave, `~` expanded. UsageError if it is none; `what` says what was expected."""
    try:
        name = os.fspath(path)
        if not isinstance(name, str) or not name or "\0" in name:
            raise TypeError
    except TypeError:
        raise UsageError(f"{path!r} is not {what}.") from None
    if is_url(name):
        raise UsageError(f"{name} is a URL, and this must be {what} on this machine.")
    if collapsed := COLLAPSED_URL.match(name):
        raise UsageError(f"{name} lacks a slash after {collapsed[0]}: write a URL as text, as Path removes it.")
    return Path(os.path.expanduser(name))


def shell_word(path: str | os.PathLike[str]) -> str:
    """`path` as it is typed in a shell: quoted if it has spaces or characters that the shell would interpret.

    A path that begins like an option gets a `./` in front.
    """
    name = os.fspath(path)
    return shlex.quote(f"./{name}" if name.startswith("-") else name)


def cache_folder() -> Path:
    """The platform's cache folder for ganzoo, or a temporary one for a user without a home directory."""
    return _folder("cache")


def data_folder() -> Path:
    """The platform's data folder for ganzoo, or a temporary one for a user without a home directory."""
    return _folder("data")


def _folder(kind: str) -> Path:
    import platformdirs

    try:
        folder = Path(getattr(platformdirs, f"user_{kind}_dir")("ganzoo"))
        if folder.is_absolute():
            return folder
    except (RuntimeError, KeyError):
        pass
    return _temporary() / kind


@functools.cache
def _temporary() -> Path:
    """A folder of this user alone in the directory for temporary files, the same in every process if possible."""
    import logging
    import stat
    import tempfile

    folder = Path(tempfile.gettempdir()) / f"ganzoo-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        folder = Path(tempfile.mkdtemp(prefix="ganzoo-"))  # somebody else made the other one
    logging.getLogger("ganzoo").warning(f"This user has no home directory, so ganzoo keeps its cache in {folder}.")
    return folder

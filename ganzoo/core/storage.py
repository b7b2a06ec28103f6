"""Folders on object storage by URL, such as `s3://bucket/runs`, through fsspec.

Credentials, regions and endpoints are those of fsspec's packages: `AWS_PROFILE`, `AWS_ENDPOINT_URL`,
`GOOGLE_APPLICATION_CREDENTIALS` and so on. An object is complete or absent, also while it is replaced.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ganzoo.core.errors import StorageError, UsageError
from ganzoo.core.files import atomic

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The extra of ganzoo that installs what a protocol needs."""
BLOCK_BYTES = 1 << 18
"""So much is read in advance of what is asked for: most files of a data set at once."""


class RemoteFolder:
    """A folder on object storage. Its methods raise StorageError with one message if that fails."""

    def __init__(self, url: str):
        """UsageError if it has no bucket, the protocol is unknown or its package is not installed."""
        self.url = url.rstrip("/")
        protocol, _, rest = url.partition("://")
        if not rest.strip("/") or (rest.startswith("/") and protocol.lower() in EXTRAS):
            raise UsageError(f"{url} names no bucket: expected {protocol}://BUCKET/FOLDER.")
        self.bucket = f"{protocol}://{rest.partition('/')[0]}"
        self.fs, self.root = _connect(self.url)
        self.local = "file" in (self.fs.protocol if isinstance(self.fs.protocol, tuple) else (self.fs.protocol,))

    def __reduce__(self) -> tuple[Any, ...]:
        return RemoteFolder, (self.url,)

    def files(self) -> dict[str, int]:
        """The sizes in bytes of all files below it by their names relative to it; empty if there is no such folder."""
        return {name: int(entry["size"] or 0) for name, entry in self.entries().items()}

    def entries(self) -> dict[str, dict[str, Any]]:
        """The metadata of all files below the URL, by relative name; a URL of one file gives that file, named ""."""
        with self._reported("read"):
            found = self.fs.find(self.root, detail=True)
        return {name[len(self.root) :].lstrip("/"): entry for name, entry in found.items()}

    def open(self, name: str) -> Any:
        """A file to read and to seek in, or the one that the URL is of. FileNotFoundError if there is none."""
        with self._reported("read", FileNotFoundError):
            path = f"{self.root}/{name}" if name else self.root
            return _Reported(self.fs.open(path, "rb", block_size=BLOCK_BYTES), self)

    def folders(self) -> list[str]:
        """The names of the folders directly in it. UsageError if it does not exist."""
        with self._reported("read"):
            try:
                entries = self.fs.ls(self.root, detail=True)
            except FileNotFoundError:
                raise UsageError(f"There is nothing at {self.url}.") from None
        return sorted(entry["name"].rstrip("/").rpartition("/")[2] for entry in entries if entry["type"] == "directory")

    def exists(self, name: str) -> bool:
        """Whether it has a file of this name."""
        with self._reported("read"):
            return bool(self.fs.exists(f"{self.root}/{name}"))

    def get(self, name: str, target: Path) -> None:
        """Write the content of a file, and the time of its last change, to `target`, atomically.

        FileNotFoundError if there is no such file.
        """
        with self._reported("read", FileNotFoundError):
            changed = self.fs.modified(f"{self.root}/{name}")
            with atomic(target) as temporary:
                self.fs.get_file(f"{self.root}/{name}", str(temporary))
                os.utime(temporary, (changed.timestamp(), changed.timestamp()))

    def put(self, source: Path, name: str) -> None:
        """Write the content of `source` to the file of this name."""
        target = f"{self.root}/{name}"
        with self._reported("written"):
            if self.local:  # fsspec would write in place, and a kill would leave half a file
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                with atomic(Path(target)) as temporary:
                    shutil.copyfile(source, temporary)
            else:
                self.fs.put_file(str(source), target)

    def delete(self, names: Iterable[str]) -> None:
        """Delete these files, one after the other; those that are gone are no error."""
        for name in names:
            with self._reported("written"), contextlib.suppress(FileNotFoundError):
                self.fs.rm_file(f"{self.root}/{name}")

    @contextlib.contextmanager
    def _reported(self, done: str, *passed: type[Exception]) -> Iterator[None]:
        try:
            yield
        except Exception as failure:  # the package of every protocol has errors of its own
            if isinstance(failure, (UsageError, *passed)):
                raise
            missing = isinstance(failure, FileNotFoundError) and not self.local  # no folder is missing, only buckets
            reason = f"there is no {self.bucket}, or it is not yours to see" if missing else _reason(failure)
            raise StorageError(f"{self.url} cannot be {done}: {reason}") from failure


class _Reported(io.RawIOBase):
    """A file of a folder on object storage that raises StorageError where it cannot be read."""

    def __init__(self, file: Any, folder: RemoteFolder):
        self.file, self.folder = file, folder

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self.file.seek(offset, whence))

    def tell(self) -> int:
        return int(self.file.tell())

    def read(self, size: int = -1) -> bytes:
        with self.folder._reported("read", FileNotFoundError):
            return bytes(self.file.read(size))

    def close(self) -> None:
        self.file.close()
        super().close()


def _connect(url: str) -> tuple[Any, str]:
    import fsspec

    protocol = url.partition("://")[0].lower()
    try:
        fs, root = fsspec.core.url_to_fs(
            url, skip_instance_cache=True, **({} if protocol in ("file", "local") else {"use_listings_cache": False})
        )
    except ImportError as failure:
        extra = EXTRAS.get(protocol)
        line = f"pip install 'ganzoo-core[{extra}]'" if extra else str(failure)
        raise UsageError(f"{protocol}:// needs a package that is not installed: {line}") from None
    except ValueError as failure:
        raise UsageError(f"{url} cannot be used: {failure}") from None
    except Exception as failure:  # the package of every protocol has errors of its own
        raise StorageError(f"{url} cannot be used: {_reason(failure)}") from failure
    return fs, root.rstrip("/")


def _reason(failure: BaseException) -> str:
    """The first line of the message that says something."""
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()] or [type(failure).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]

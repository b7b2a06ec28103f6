"""The user's files on object storage, such as `s3://bucket/photos`, to read."""

from __future__ import annotations

import hashlib
import os
from typing import IO, cast

from ganzoo.core.paths import is_url
from ganzoo.core.storage import RemoteFolder

__all__ = ["StoredFiles", "is_url"]


class StoredFiles:
    """What is below a URL, or the file at it, called "". Every forked worker process makes its own connection.

    Methods raise StorageError if the storage cannot be reached, or refuses.
    """

    def __init__(self, url: str):
        """UsageError if the protocol is unknown or its package is not installed."""
        self.url = url
        self._connections = {os.getpid(): RemoteFolder(url)}

    def identities(self) -> dict[str, str]:
        """The files by name, each with a text that differs if its content does, as far as the storage knows."""
        return {
            name: hashlib.sha256(repr(sorted(entry.items(), key=lambda item: item[0])).encode()).hexdigest()
            for name, entry in self._connection.entries().items()
        }

    def open(self, name: str) -> IO[bytes]:
        """A file to read and to seek in. FileNotFoundError if it is gone."""
        return cast("IO[bytes]", self._connection.open(name))

    @property
    def _connection(self) -> RemoteFolder:
        if os.getpid() not in self._connections:
            self._connections[os.getpid()] = RemoteFolder(self.url)
        return self._connections[os.getpid()]

"""Published files: found in the user's folders or the cache, else downloaded; verified every time, before any use."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ganzoo.core.errors import DataError
from ganzoo.core.spec import DataLocation
from ganzoo.data.cache import scratch

TIMEOUT_SECONDS = 30
MAX_UNPACKED = 1 << 28
GZIP_MAGIC = b"\x1f\x8b"
PLAINLY = {
    "ConnectionError": "no connection",
    "ConnectTimeout": f"no connection within {TIMEOUT_SECONDS} s",
    "ReadTimeout": f"no answer within {TIMEOUT_SECONDS} s",
    "ChunkedEncodingError": "the connection broke off",
}
"""What requests' exceptions mean; their own texts are long."""


@dataclass(frozen=True)
class File:
    """A file that somebody publishes."""

    name: str
    """Its name at the mirrors and on disk."""
    digest: str
    """"sha256:HEX" or "md5:HEX" of the bytes that `fetch` returns."""
    mirrors: tuple[str, ...]
    """URLs of the folders it can be had from, tried in this order."""
    folders: tuple[str, ...]
    """Where it may lie below the data directory; the first one is what people are told."""
    cache: str
    """The cache's folder for it."""
    unpacked: bool = False
    """The digest, and what is returned, is the content of the .gz. The unpacked file does as well as any .gz of it."""

    @property
    def urls(self) -> list[str]:
        return [mirror + self.name for mirror in self.mirrors]


def find(file: File, where: DataLocation) -> Path | None:
    """Where `file` lies on disk: in the data directory, else in the cache. Looks at names only."""
    return next((path for path in _candidates(file, where) if path.is_file()), None)


def fetch(file: File, where: DataLocation, family: Sequence[File] = ()) -> bytes:
    """The verified bytes of `file` from disk or, where it is not there, from the first mirror that has it intact.

    `family` are files of the same data set, named along with it where the network is missing. Raises `DataError` for a
    damaged file, naming it and both digests, and where no mirror answers, saying what to fetch and where to put it.
    """
    if where.given is not None and not where.given.is_dir():
        raise DataError(f"The data directory {where.given} (from --data-dir or GANZOO_DATA) does not exist.")
    path = find(file, where)
    if path is None:
        return _download(file, where, family)
    try:
        return read(path, file)
    except DataError as damage:
        ours = path.is_relative_to(where.cache)
        cure = "Delete it to download it again." if ours else "Replace it, or remove it to let ganzoo download its own."
        raise DataError(f"{damage} {cure}") from None


def read(path: Path, file: File) -> bytes:
    """The bytes of `file` (see `File.unpacked`) found at `path`; `DataError` where they are not the published ones."""
    try:
        data = path.read_bytes()
    except OSError as why:
        raise DataError(f"{path} cannot be read: {why.strerror or why}.") from None
    algorithm, _, expected = file.digest.partition(":")
    if file.unpacked and data.startswith(GZIP_MAGIC):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                data = stream.read(MAX_UNPACKED)
        except (OSError, EOFError, zlib.error) as why:
            raise DataError(
                f"{path} is damaged, it cannot be unpacked ({why}): expected {algorithm} {expected} of its content, "
                f"found a file of {len(data)} bytes with {algorithm} {_digest(algorithm, data)}."
            ) from None
    found = _digest(algorithm, data)
    if found != expected:
        raise DataError(
            f"{path} is damaged, or not the published file: expected {algorithm} {expected}, "
            f"found {found} ({len(data)} bytes)."
        )
    return data


def _candidates(file: File, where: DataLocation) -> Iterator[Path]:
    names = [file.name.removesuffix(".gz"), file.name] if file.unpacked else [file.name]
    folders = [where.given / folder for folder in file.folders] if where.given is not None else []
    for folder in [*folders, where.cache / file.cache]:
        for name in names:
            yield folder / name


def _download(file: File, where: DataLocation, family: Sequence[File]) -> bytes:
    import pooch

    home = where.cache / file.cache
    # A server that unpacks on the way ("Content-Encoding: gzip") would change the bytes we verify.
    get = pooch.HTTPDownloader(timeout=TIMEOUT_SECONDS, headers={"Accept-Encoding": "identity"})
    failures = []
    with scratch(home) as partial:
        for url in file.urls:
            target = partial / file.name
            pooch.get_logger().info("Downloading %s", url)
            try:
                get(url, str(target), None)
                data = read(target, file)
                os.replace(target, home / file.name)
                return data
            except (OSError, DataError) as why:  # requests' errors are OSErrors; any failure means: try the next mirror
                failures.append(f"  {url}: {_reason(why, target)}")
    raise DataError("\n".join([f"{file.name} could not be downloaded:", *failures, *_by_hand(file, where, family)]))


def _by_hand(file: File, where: DataLocation, family: Sequence[File]) -> Iterator[str]:
    missing = [file, *(other for other in family if other != file and find(other, where) is None)]
    yield f"Fetch {', '.join(other.name for other in missing)}"
    yield f"from {' or '.join(file.mirrors)}"
    if where.given is not None:
        yield f"and put it into {where.given / file.folders[0]}"
    else:
        yield f"and put it into {where.cache / file.cache}"
        yield f"or into {Path('DIR', file.folders[0])}, with --data-dir DIR or GANZOO_DATA=DIR."
    plain = find(dataclasses.replace(file, unpacked=True), where)
    if plain is not None:
        yield f"{plain} is not used: only the published {file.name} can be verified."


def _reason(why: Exception, target: Path) -> str:
    if isinstance(why, DataError):
        return str(why).replace(str(target), "what came")
    response = getattr(why, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}"
    name, text = type(why).__name__, str(why)
    return PLAINLY.get(name) or f"{name} ({text if len(text) <= 160 else text[:160] + '...'})"


def _digest(algorithm: str, data: bytes) -> str:
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()

"""Published files: found in the data directory or the cache, or downloaded; always verified before use."""

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
REASONS = {
    "ConnectionError": "no connection",
    "ConnectTimeout": f"no connection within {TIMEOUT_SECONDS} s",
    "ReadTimeout": f"no answer within {TIMEOUT_SECONDS} s",
    "ChunkedEncodingError": "the connection was interrupted",
}
"""Short messages for exceptions of requests."""


@dataclass(frozen=True)
class File:
    """A file that can be downloaded."""

    name: str
    """Name at the mirrors and on disk."""
    digest: str
    """"sha256:HEX" or "md5:HEX" of the bytes that `fetch` returns."""
    mirrors: tuple[str, ...]
    """URLs of the folders it can be downloaded from, tried in this order."""
    folders: tuple[str, ...]
    """Folders below the data directory to look in; messages name the first one."""
    cache: str
    """Folder in the cache."""
    unpacked: bool = False
    """Whether digest and result are of the decompressed content; the unpacked file and any .gz of it are accepted."""

    @property
    def urls(self) -> list[str]:
        return [mirror + self.name for mirror in self.mirrors]


def find(file: File, where: DataLocation) -> Path | None:
    """The path of `file` in the data directory or the cache; None if it is in neither. Looks at names only."""
    return next((path for path in _candidates(file, where) if path.is_file()), None)


def fetch(file: File, where: DataLocation, family: Sequence[File] = ()) -> bytes:
    """The verified bytes of `file`, read from disk or downloaded from the first mirror that has it intact.

    `family` are the files of the same data set; if there is no network, the message names those that are missing.
    Raises `DataError` for a damaged file, with both digests, and if no mirror has the file, with instructions to
    download it by hand.
    """
    if where.given is not None and not where.given.is_dir():
        raise DataError(f"The data directory {where.given} (from --data-dir or GANZOO_DATA) does not exist.")
    path = find(file, where)
    if path is None:
        return _download(file, where, family)
    try:
        return read(path, file)
    except DataError as damage:
        cached = path.is_relative_to(where.cache)
        advice = "Delete it to download it again." if cached else "Replace it, or delete it to let ganzoo download it."
        raise DataError(f"{damage} {advice}") from None


def read(path: Path, file: File) -> bytes:
    """The bytes of `file` (see `File.unpacked`) at `path`; raises `DataError` if they are not the published ones."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None
    algorithm, _, expected = file.digest.partition(":")
    if file.unpacked and data.startswith(GZIP_MAGIC):
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                data = stream.read(MAX_UNPACKED)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path} is damaged and cannot be decompressed ({error}): expected content of {algorithm} {expected}, "
                f"found a file of {len(data)} bytes with {algorithm} {_digest(algorithm, data)}."
            ) from None
    actual = _digest(algorithm, data)
    if actual != expected:
        raise DataError(
            f"{path} is damaged, or not the published file: expected {algorithm} {expected}, "
            f"found {actual} ({len(data)} bytes)."
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
    # "Content-Encoding: gzip" would decompress the file in transit and change the bytes that are verified.
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
            except (OSError, DataError) as error:  # requests' errors are OSErrors
                failures.append(f"  {url}: {_reason(error, target)}")
    raise DataError(
        "\n".join([f"{file.name} could not be downloaded:", *failures, *_instructions(file, where, family)])
    )


def _instructions(file: File, where: DataLocation, family: Sequence[File]) -> Iterator[str]:
    missing = [file, *(other for other in family if other != file and find(other, where) is None)]
    yield f"Download {', '.join(other.name for other in missing)}"
    yield f"from {' or '.join(file.mirrors)}"
    if where.given is not None:
        yield f"into {where.given / file.folders[0]}"
    else:
        yield f"into {where.cache / file.cache}"
        yield f"or into {Path('DIR', file.folders[0])}, and use --data-dir DIR or GANZOO_DATA=DIR."
    unpacked = find(dataclasses.replace(file, unpacked=True), where)
    if unpacked is not None:
        yield f"{unpacked} is not used: only the published {file.name} can be verified."


def _reason(error: Exception, target: Path) -> str:
    if isinstance(error, DataError):
        return str(error).replace(str(target), "the response")
    response = getattr(error, "response", None)
    if response is not None:
        return f"HTTP {response.status_code} {response.reason}"
    name, text = type(error).__name__, str(error)
    return REASONS.get(name) or f"{name} ({text if len(text) <= 160 else text[:160] + '...'})"


def _digest(algorithm: str, data: bytes) -> str:
    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()

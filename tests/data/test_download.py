from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ganzoo.core.errors import DataError
from ganzoo.core.spec import DataLocation
from ganzoo.data.download import File, fetch, find
from tests.data.mirror import Mirror

CONTENT = bytes(range(256)) * 40
PACKED = gzip.compress(CONTENT, mtime=0)
OTHER = gzip.compress(b"x", mtime=0)
NOWHERE = "http://127.0.0.1:9/"  # the discard port, on which nothing listens


@pytest.fixture
def file(mirror: Mirror) -> File:
    mirrors = (mirror.url + "first/", mirror.url + "second/")
    return File("some.gz", f"sha256:{hashlib.sha256(CONTENT).hexdigest()}", mirrors, ("Set/raw", "."), "set", True)


@pytest.fixture
def packed(file: File) -> File:
    return replace(file, digest=f"sha256:{hashlib.sha256(PACKED).hexdigest()}", unpacked=False)


@pytest.fixture(autouse=True)
def no_partial_files(where: DataLocation) -> Iterator[None]:
    yield
    assert not list(where.cache.rglob(".partial-*"))


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("place", ["given/Set/raw/some.gz", "given/some.gz", "given/Set/raw/some", "cache/set/some.gz"])
def test_found_on_disk_without_a_request(file: File, where: DataLocation, mirror: Mirror, place: str) -> None:
    assert find(file, where) is None
    path = put(where.cache.parent / place, PACKED if place.endswith(".gz") else CONTENT)
    assert find(file, where) == path
    assert fetch(file, where) == CONTENT
    assert mirror.requests == []


def test_any_compression_of_the_content_is_accepted(file: File, where: DataLocation) -> None:
    put(where.cache / "set/some.gz", gzip.compress(CONTENT[:100], 1) + gzip.compress(CONTENT[100:], 9))
    assert fetch(file, where) == CONTENT


@pytest.mark.parametrize("bad", [None, (500, b"oops"), (200, b"<html>login</html>"), (200, PACKED[:-9])])
def test_the_next_mirror_is_tried(
    file: File, where: DataLocation, mirror: Mirror, bad: tuple[int, bytes] | None
) -> None:
    if bad is not None:
        mirror.serve("first/some.gz", bad[1], status=bad[0])
    mirror.serve("second/some.gz", PACKED)
    assert fetch(file, where) == CONTENT
    assert mirror.requests == ["/first/some.gz", "/second/some.gz"]
    assert (where.cache / "set/some.gz").read_bytes() == PACKED
    assert fetch(file, where) == CONTENT  # from the cache
    assert len(mirror.requests) == 2


def test_an_incomplete_download_is_detected(packed: File, where: DataLocation, mirror: Mirror) -> None:
    mirror.serve("first/some.gz", PACKED[:50], length=len(PACKED))
    mirror.serve("second/some.gz", PACKED)
    assert fetch(packed, where) == PACKED


def test_an_altered_download_is_refused_with_both_digests(packed: File, where: DataLocation, mirror: Mirror) -> None:
    altered = PACKED + b"!"
    mirror.serve("first/some.gz", altered)
    mirror.serve("second/some.gz", PACKED[:-1])
    with pytest.raises(DataError) as error:
        fetch(packed, where)
    for part in (packed.digest[7:], hashlib.sha256(altered).hexdigest(), hashlib.sha256(PACKED[:-1]).hexdigest()):
        assert part in str(error.value)
    assert find(packed, where) is None


def test_offline_explains_what_to_download_and_where_to_put_it(packed: File, where: DataLocation) -> None:
    file = replace(packed, mirrors=(NOWHERE, NOWHERE + "b/"))
    other = replace(file, name="other.gz")
    present = replace(file, name="present.gz")
    assert where.given is not None
    put(where.given / "present.gz", b"")
    unpacked = put(where.given / "Set/raw/some", b"")
    with pytest.raises(DataError) as error:
        fetch(file, where, [present, file, other])
    message = str(error.value)
    assert f"{NOWHERE}b/some.gz: no connection" in message
    assert f"Download some.gz, other.gz\nfrom {NOWHERE} or {NOWHERE}b/" in message
    assert "present.gz" not in message
    assert str(where.given / "Set/raw") in message
    assert f"{unpacked} is not used" in message
    with pytest.raises(DataError, match="use --data-dir DIR or GANZOO_DATA=DIR") as error:
        fetch(file, replace(where, given=None))
    assert str(where.cache / "set") in str(error.value)


@pytest.mark.parametrize("damage", [PACKED[:-20], PACKED[:40] + b"\0\0" + PACKED[42:], OTHER, b""])
@pytest.mark.parametrize("place", ["given/Set/raw", "cache/set"])
def test_damaged_files_are_reported_and_not_deleted(
    file: File, where: DataLocation, mirror: Mirror, place: str, damage: bytes
) -> None:
    path = put(where.cache.parent / place / "some.gz", damage)
    with pytest.raises(DataError) as error:
        fetch(file, where)
    message = str(error.value)
    assert message.startswith(str(path))
    assert file.digest[7:] in message
    content = b"x" if damage == OTHER else damage
    assert hashlib.sha256(content).hexdigest() in message
    assert ("Delete it to download it again" in message) == (place == "cache/set")
    assert path.read_bytes() == damage
    assert mirror.requests == []


def test_a_data_directory_that_does_not_exist_is_an_error(file: File, where: DataLocation, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nope .* does not exist"):
        fetch(file, DataLocation(tmp_path / "nope", where.cache))


def test_first_use_may_be_concurrent(file: File, where: DataLocation, mirror: Mirror) -> None:
    mirror.serve("first/some.gz", PACKED)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: fetch(file, where), range(4)))
    assert results == [CONTENT] * 4
    assert [path.name for path in (where.cache / "set").iterdir()] == ["some.gz"]

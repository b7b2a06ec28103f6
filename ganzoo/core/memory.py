"""Memory that is left to this process."""

from __future__ import annotations

import re
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Bytes of memory that this process can still take, within the limits of its container; None if unknown."""
    limits = [_of_machine(), _of_container()]
    known = [limit for limit in limits if limit is not None]
    return min(known, default=None)


def in_gibibytes(count: int) -> str:
    """A number of bytes for people: `1.5 GiB`."""
    return f"{count / (1 << 30):.1f} GiB"


def _of_machine() -> int | None:
    found = re.search(r"^MemAvailable:\s+([0-9]+) kB", _text(MEMINFO), re.MULTILINE)
    return None if found is None else int(found[1]) << 10


def _of_container() -> int | None:
    """What cgroup v2 allows minus what is in use, without files in memory that can be dropped."""
    limit, used = _text(CGROUP / "memory.max").strip(), _text(CGROUP / "memory.current").strip()
    if not limit.isdecimal() or not used.isdecimal():
        return None
    files = re.search(r"^inactive_file ([0-9]+)$", _text(CGROUP / "memory.stat"), re.MULTILINE)
    return max(0, int(limit) - int(used) + (0 if files is None else int(files[1])))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

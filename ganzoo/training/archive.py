"""Checks of state.pt before torch reads it: that it is a plain archive as torch.save writes it, and small in effect."""

from __future__ import annotations

import pickletools
import struct
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ganzoo.core.files import open_regular

MAX_ENTRIES = 100_000
MAX_PICKLE_BYTES = 1 << 26
MAX_VALUES = 2_000_000
"""Number of values in a state, each counted as often as it is referred to."""
MAX_DEPTH = 50
END, END_BYTES = b"PK\x05\x06", 22
LOCATOR, LOCATOR_BYTES = b"PK\x06\x07", 20
END64, END64_BYTES = b"PK\x06\x06", 56
DESCRIPTOR = b"PK\x07\x08"
PLAIN = (str, bool, float, type(None), torch.Size, torch.dtype, torch.device)


def check_archive(path: Path) -> None:
    """Raise ValueError unless the file is an archive in which every byte belongs to one uncompressed entry.

    Readers of such an archive agree on its content: there is one central directory, at the end, and entries follow
    each other without gaps or overlaps. OSError or BadZipFile if it cannot be read at all.
    """
    with open_regular(path) as file, zipfile.ZipFile(file) as archive:
        entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
        _check_directory(file, archive.start_dir, len(entries))
        if len({entry.filename for entry in entries}) != len(entries):
            raise ValueError("two of its entries have the same name")
        if any(entry.compress_type or entry.file_size != entry.compress_size for entry in entries):
            raise ValueError("it is compressed, which torch.save never does")
        starts = [entry.header_offset for entry in entries]
        if not starts or starts[0] != 0:
            raise ValueError("its first entry is not at its beginning")
        for entry, (start, following) in zip(entries, pairwise([*starts, archive.start_dir])):
            if _end_of(file, entry, start) != following:
                raise ValueError(f"its entry {entry.filename!r} does not end where the next one begins")
        pickles = [entry for entry in entries if entry.filename.lower().endswith(".pkl")]
        if len(pickles) != 1 or pickles[0].file_size > MAX_PICKLE_BYTES:
            raise ValueError(f"expected one pickle of at most {MAX_PICKLE_BYTES:,} bytes in it")
        check_pickle(archive.read(pickles[0]))


def _check_directory(file: BinaryIO, start: int, count: int) -> None:
    """Check that the central directory at `start` has `count` entries and ends where the file's end record begins."""
    size = file.seek(0, 2)
    at = size - END_BYTES
    file.seek(max(at - LOCATOR_BYTES - END64_BYTES, 0))
    tail = file.read()
    record, locator = tail[-END_BYTES:], tail[-END_BYTES - LOCATOR_BYTES : -END_BYTES]
    if record[:4] != END:
        raise ValueError("it does not end with the end record of an archive")
    disk, first_disk, here, total, length, offset, comment = struct.unpack("<4H2LH", record[4:])
    if locator[:4] == LOCATOR:
        at -= LOCATOR_BYTES + END64_BYTES
        _, position, disks = struct.unpack("<LQL", locator[4:])
        record64 = tail[:END64_BYTES]
        if at < 0 or record64[:4] != END64 or position != at or disks != 1:
            raise ValueError("its end records contradict each other")
        values = struct.unpack("<Q2H2L4Q", record64[4:])
        narrow = ((here, 0xFFFF), (total, 0xFFFF), (length, 0xFFFFFFFF), (offset, 0xFFFFFFFF))
        if values[0] != END64_BYTES - 12 or any(n not in (wide, limit) for (n, limit), wide in zip(narrow, values[5:])):
            raise ValueError("its end records contradict each other")
        disk, first_disk, here, total, length, offset = values[3:]
    if disk or first_disk or comment or here != count or total != count or count > MAX_ENTRIES:
        raise ValueError("its end record is not that of its entries")
    if offset != start or offset + length != at:
        raise ValueError("it has more than one central directory, or bytes that belong to none")


def _end_of(file: BinaryIO, entry: zipfile.ZipInfo, start: int) -> int:
    """The position after an entry's data, with its data descriptor if it has one."""
    file.seek(start)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise ValueError(f"its entry {entry.filename!r} has no header")
    flags, method = struct.unpack("<2H", header[6:10])
    name_length, extra_length = struct.unpack("<2H", header[26:])
    if method != entry.compress_type or flags != entry.flag_bits or flags & 1:
        raise ValueError(f"its entry {entry.filename!r} differs from the central directory")
    if file.read(name_length) != entry.orig_filename.encode("utf-8"):
        raise ValueError(f"its entry {entry.filename!r} differs from the central directory")
    end: int = start + 30 + name_length + extra_length + entry.file_size
    if not flags & 8:
        return end
    file.seek(end)
    descriptor = file.read(24)
    if descriptor[:4] != DESCRIPTOR:
        raise ValueError(f"its entry {entry.filename!r} has no data descriptor")
    sizes = (entry.compress_size, entry.file_size)
    if struct.unpack("<2L", descriptor[8:16]) == sizes:
        return end + 16
    if len(descriptor) == 24 and struct.unpack("<2Q", descriptor[8:24]) == sizes:
        return end + 24
    raise ValueError(f"its entry {entry.filename!r} differs from the central directory")


def check_pickle(pickled: bytes) -> None:
    """Raise ValueError if unpickling could take far longer than reading, e.g. to hash tuples of shared tuples.

    Values are followed as numbers: how many values each one consists of, those that are shared counted each time.
    """
    stack: list[int | None] = []
    memo: dict[Any, int] = {}
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo.get(argument, 1))
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1] or 1
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = stack[-1] or 1
        else:
            values = _pop(stack, opcode)
            weight = 1 + sum(values)
            if weight > MAX_VALUES:
                raise ValueError(f"it holds more than {MAX_VALUES:,} values")
            stack += [None if kind is pickletools.markobject else weight for kind in opcode.stack_after]


def _pop(stack: list[int | None], opcode: pickletools.OpcodeInfo) -> list[int]:
    """Remove the operands of an opcode from the stack, down to the mark if it takes a slice, and return them."""
    values = []
    for kind in reversed(opcode.stack_before):
        if kind is pickletools.stackslice:
            while stack and stack[-1] is not None:
                values.append(stack.pop() or 0)
        elif not stack:
            raise ValueError("its pickle is damaged")
        else:
            values.append(stack.pop() or 0)
    return values


def check_state(state: Any) -> None:
    """Raise ValueError unless `state` is a dict of tensors and plain values of a bounded number and depth."""
    if not isinstance(state, dict):
        raise ValueError("it does not hold a training state")
    _count(state, MAX_VALUES, MAX_DEPTH)
    rules = {"identity": _is_plain_dict, "threads": _is_thread_count, "step": is_step, "seconds": is_duration}
    for name, rule in rules.items():
        if name in state and not rule(state[name]):
            raise ValueError(f"its {name} is not valid")
    if not isinstance(state.get("torch_rng", []), (list, Tensor)):
        raise ValueError("its torch_rng is not valid")


def is_step(value: Any) -> bool:
    """Whether `value` can be the number of a training step."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15


def is_duration(value: Any) -> bool:
    """Whether `value` can be a number of seconds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 10**12


def _is_thread_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 1024


def _is_plain_dict(value: Any) -> bool:
    return isinstance(value, dict) and _is_plain(value)


def _is_plain(value: Any) -> bool:
    """Whether JSON could hold `value`."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(inner) for key, inner in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (str, int, float))


def _count(value: Any, left: int, depth: int) -> int:
    """The number of values that are left after those in `value`."""
    if left <= 0 or depth <= 0:
        raise ValueError("it holds too many values, or nests them too deeply")
    if isinstance(value, (Tensor, *PLAIN)):
        return left - 1
    if isinstance(value, int):
        if abs(value) >= 1 << 63:
            raise ValueError("it holds an integer of more than 64 bits")
        return left - 1
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, (str, int)):
                raise ValueError(f"it holds a key that is a {type(key).__name__}")
            left = _count(inner, left, depth - 1)
        return left - 1
    if isinstance(value, (list, tuple)):
        for inner in value:
            left = _count(inner, left, depth - 1)
        return left - 1
    raise ValueError(f"it holds a {type(value).__name__}")

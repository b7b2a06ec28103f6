"""The files of a run that have one JSON object per line, with its `step`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ganzoo.core.errors import GanzooError
from ganzoo.core.files import parse_json, read_text, write_text
from ganzoo.training.failure_detection import Alarm

TRUNCATED = 1 << 62
"""The step of a row that a crash cut short: later than any."""
MAX_BYTES = 1 << 30
MAX_ROWS = 5_000_000
"""More than `MAX_BYTES` hold of the rows that a training writes."""


def read(file: Path, valid: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """The complete rows of a file. GanzooError if one of them is not `valid`."""
    rows = []
    for number, line in enumerate(_lines(file), 1):
        row = _parsed(line)
        if _step_of(row) < TRUNCATED:
            rows.append(row)
            if not valid(row):
                raise GanzooError(f"{file} is damaged: line {number} is not one that ganzoo writes.")
    return rows


def append(file: Path, row: dict[str, Any]) -> None:
    """Add a row to a file, which is made if there is none. GanzooError if it cannot be written."""
    try:
        with file.open("a") as stream:
            stream.write(json.dumps(row) + "\n")
    except OSError as failure:
        raise GanzooError(f"Cannot write {file}: {failure.strerror or failure}") from failure


def forget_after(file: Path, step: int) -> None:
    """Delete the rows later than `step`, and one that a crash cut short."""
    if file.exists():
        write_text(file, "".join(f"{line}\n" for line in _lines(file) if _step_of(_parsed(line)) <= step))


def is_metrics(row: dict[str, Any]) -> bool:
    """Whether it could be a row of metrics.jsonl."""
    return all(value is None or _is_number(value) for value in row.values())


def is_evaluation(row: dict[str, Any]) -> bool:
    """Whether it could be a row of evaluations.jsonl."""
    metric, rank = row.get("metric"), row.get("rank")
    return isinstance(metric, str) and isinstance(rank, list) and all(map(_is_number, rank))


def is_alarm(row: dict[str, Any]) -> bool:
    """Whether it could be a row of alarms.jsonl."""
    texts = [value for name, value in row.items() if name != "step"]
    return row.keys() == Alarm.__dataclass_fields__.keys() and all(isinstance(text, str) for text in texts)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _lines(file: Path) -> list[str]:
    if not file.exists():
        return []
    try:
        text = read_text(file, MAX_BYTES, errors="replace")
    except OSError as failure:
        raise GanzooError(f"{file} cannot be read: {failure.strerror or failure}") from failure
    if text.count("\n") > MAX_ROWS:
        raise GanzooError(f"{file} is damaged: it has more than {MAX_ROWS:,} lines.")
    return text.split("\n")


def _parsed(line: str) -> Any:
    """The JSON value of a line; None if a crash cut it short."""
    try:
        return parse_json(line)
    except ValueError:
        return None


def _step_of(row: Any) -> int:
    step = row.get("step") if isinstance(row, dict) else None
    return step if isinstance(step, int) and not isinstance(step, bool) and step >= 0 else TRUNCATED

"""Every promise in SECURITY.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_promise_names_tests_that_exist() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", (ROOT / "SECURITY.md").read_text("utf-8"), re.MULTILINE)[1:]
    assert len(rows) >= 15
    files = [file.read_text("utf-8") for file in (ROOT / "tests").rglob("*.py")]
    defined = {name for file in files for name in re.findall(r"^def (test_\w+)", file, re.MULTILINE)}
    for promise, tests in rows:
        names = re.findall(r"`(test_\w+)`", tests)
        assert names, promise
        assert set(names) <= defined, promise

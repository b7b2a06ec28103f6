"""The commands in docs/metrics.md run as written."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.conftest import Command

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_every_command_runs(ganzoo_cli: Command, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs.parent)
    for number in ("001", "002"):
        shutil.copytree(runs / "cgan", runs / f"cgan-mnist-{number}")
    blocks = re.findall(r"```sh\n(.*?)```", TEXT, flags=re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert {words[1] for words in commands} == {"evaluate", "compare"}
    for words in commands:
        result = ganzoo_cli(*words[1:])
        assert result.code == 0, f"{' '.join(words)}\n{result.err}"
    assert Path("comparison.html").exists()


def test_every_file_named_exists() -> None:
    files = re.findall(r"\b((?:benchmarks|tests|ganzoo)/[\w/.]*)", TEXT)
    assert len(files) >= 4
    assert [file for file in files if not (ROOT / file).exists()] == []

"""The commands and the code of docs/latents.md run, with training shortened (see tests/pages.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import pages
from tests.conftest import Command

PAGE = pages.Page("docs/latents.md")


def test_the_page_runs(ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.use_empty_directory(tmp_path, monkeypatch)
    monkeypatch.setattr("ganzoo.latents.selection.CALIBRATION_STEPS", 5)
    monkeypatch.setattr("ganzoo.latents.directions.SAMPLES", 1000)
    for language, block in PAGE.blocks("sh", "python"):
        if language == "python":
            exec(block, {})
        for words in pages.commands_of(block) if language == "sh" else []:
            pages.run(ganzoo_cli, words)
    assert Path("walk.gif").is_file()

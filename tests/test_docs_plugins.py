"""docs/plugins.md from its first command to its last, in an environment of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ganzoo.testing.checks import ARCHITECTURE, DATASET
from tests.workbench import Workbench

PAGE = (Path(__file__).parent.parent / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def outputs(workbench: Workbench) -> dict[str, list[str]]:
    """Runs the page from top to bottom: files are written or, where they are TOML, added to; commands are run."""
    said: dict[str, list[str]] = {}
    for language, text in BLOCKS:
        if language == "sh":
            for command in text.splitlines():
                said.setdefault(command, []).append(workbench.run(command))
        else:
            name = text.splitlines()[0].removeprefix("# ")
            file = workbench.work / "ganzoo-mine" / name
            file.write_text((file.read_text() + "\n" if language == "toml" else "") + text)
    return said


def test_the_page_runs_and_ends_in_images(outputs: dict[str, list[str]], workbench: Workbench) -> None:
    assert len(outputs) == 7
    for run in ("first", "stripes"):
        assert list((workbench.work / "runs" / run / "samples").glob("*.png"))
    assert (workbench.work / "samples.png").exists()


def test_all_checks_pass_before_and_after_the_page_changed_the_package(outputs: dict[str, list[str]]) -> None:
    before, after = outputs["ganzoo check mine"]
    for said in (before, after):
        assert f"All {len(ARCHITECTURE)} checks passed." in said
    assert f"All {len(DATASET)} checks passed." in outputs["ganzoo check --dataset stripes"][0]


def test_what_is_new_wrote_is_what_the_page_says(outputs: dict[str, list[str]]) -> None:
    written = re.findall(r"^ganzoo-mine/(.+)$", outputs["ganzoo new mine"][0], re.MULTILINE)
    named = re.findall(r"^\| `(.+?)` \|", PAGE, re.MULTILINE)
    assert set(named) <= set(written)
    assert set(written) - set(named) == {".gitignore", "README.md"}


def test_the_tests_it_wrote_collect_every_check(outputs: dict[str, list[str]], workbench: Workbench) -> None:
    collected = workbench.run("pytest -q --collect-only", workbench.work / "ganzoo-mine")
    for rule in ARCHITECTURE:
        assert f"test_conformance[{rule.name}]" in collected
    assert "test_conformance[complete]" in collected

"""The commands and files of docs/plugins.md, in a separate environment."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ganzoo import nn
from ganzoo.testing.checks import ARCHITECTURE, DATASET
from tests.workbench import Workbench

PAGE = (Path(__file__).parent.parent / "docs" / "plugins.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def outputs(workbench: Workbench) -> dict[str, list[str]]:
    """The output of every command of the page, run from top to bottom; files are written, TOML is appended."""
    printed: dict[str, list[str]] = {}
    for language, text in BLOCKS:
        if language == "sh":
            for command in text.splitlines():
                run = workbench.ganzoo if command.startswith("ganzoo ") else workbench.run
                printed.setdefault(command, []).append(run(command))
        else:
            name = text.splitlines()[0].removeprefix("# ")
            file = workbench.work / "ganzoo-mine" / name
            file.write_text((file.read_text() + "\n" if language == "toml" else "") + text)
    return printed


def test_the_page_runs_and_produces_images(outputs: dict[str, list[str]], workbench: Workbench) -> None:
    assert len(outputs) == 11
    for run in ("first", "stripes", "file", "named"):
        assert list((workbench.work / "runs" / run / "samples").glob("*.png"))
    assert (workbench.work / "samples.png").exists()


def test_losses_metrics_and_loggers_are_used_by_name(outputs: dict[str, list[str]], workbench: Workbench) -> None:
    run = workbench.work / "runs" / "named"
    assert (run / "lines.txt").read_text().startswith("step ")
    config = json.loads((run / "config.json").read_text())
    assert config["plugins"] == dict.fromkeys(("loss", "penalty", "augmentation"), "ganzoo-mine")
    assert list(json.loads((run / "evaluation.json").read_text())["findings"]) == ["brightness"]
    shown = outputs["ganzoo list --all"][0]
    for kind, name in (("loss", "soft_hinge"), ("penalty", "slope"), ("metric", "brightness"), ("logger", "lines")):
        assert re.search(rf"^{kind} +{name} +installed +ganzoo-mine 0.1.0", shown, re.MULTILINE)


def test_all_checks_pass_before_and_after_the_page_changed_the_package(outputs: dict[str, list[str]]) -> None:
    before, after = outputs["ganzoo check mine"]
    for output in (before, after):
        assert f"All {len(ARCHITECTURE)} checks passed." in output
    assert f"All {len(DATASET)} checks passed." in outputs["ganzoo check --dataset stripes"][0]


def test_the_page_lists_the_files_that_new_writes(outputs: dict[str, list[str]]) -> None:
    written = re.findall(r"^ganzoo-mine/(.+)$", outputs["ganzoo new mine"][0], re.MULTILINE)
    table = PAGE.partition("| file | content |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE)
    assert sorted(written) == sorted([*named, ".gitignore", "README.md"])


def test_the_blocks_it_names_exist() -> None:
    names = [*re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE), "Linear", "mlp"]
    assert len(names) == 17
    for name in names:
        assert hasattr(nn, name)


def test_the_tests_it_wrote_collect_every_check(outputs: dict[str, list[str]], workbench: Workbench) -> None:
    collected = workbench.run("pytest -q --collect-only", workbench.work / "ganzoo-mine")
    for rule in ARCHITECTURE:
        assert f"test_conformance[{rule.name}]" in collected
    assert "test_conformance[complete]" in collected

"""The commands in the pages for users run, with training shortened (see tests/pages.py), and their links are valid."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests import pages
from tests.conftest import Command
from tests.workbench import Workbench

TUTORIAL = pages.Page("docs/tutorial.md")
TROUBLESHOOTING = pages.Page("docs/troubleshooting.md")
LINKED = ["README.md", *(f"docs/{path.name}" for path in sorted((pages.ROOT / "docs").glob("*.md")))]
PACKAGE = "mygan"
"""Commands with this name run in an environment in which the package can be installed."""


@pytest.fixture
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.use_empty_directory(tmp_path, monkeypatch)


def has_data(words: list[str]) -> bool:
    """Whether a command can run without a download."""
    needed = {"mnist", "runs/mnist"} & set(words)
    return not needed or (Path(os.environ.get("GANZOO_DATA", "")) / "MNIST").is_dir()


@pytest.mark.usefixtures("empty_directory")
def test_the_tutorial_runs(ganzoo_cli: Command) -> None:
    scope: dict[str, Any] = {}
    ran = 0
    for language, block in TUTORIAL.blocks("sh", "python"):
        if language == "python":
            exec(block, scope)
        for words in pages.commands_of(block) if language == "sh" else []:
            if PACKAGE not in " ".join(words) and has_data(words):
                pages.run(ganzoo_cli, words)
                ran += 1
    assert ran >= 15
    for file in ("hundred.png", "threes-and-eights.png", "best.png", "photos.png", "two.png", "between.png"):
        assert Path(file).is_file()
    assert tuple(scope["between"].shape) == (8, 1, 8, 8)


@pytest.mark.slow
@pytest.mark.usefixtures("empty_directory")
def test_the_commands_for_models_run(ganzoo_cli: Command) -> None:
    assert ganzoo_cli(*["train", "vanilla", "--dataset", "ring", "--steps", "2", "--out", "runs/ring"]).code == 0
    (_, block), *_ = pages.Page("docs/models.md").blocks("sh")
    commands = pages.commands_of(block)
    assert len(commands) == 5
    for words in commands:
        pages.run(ganzoo_cli, words)


def test_the_package_of_the_tutorial_is_installed_and_trained(workbench: Workbench) -> None:
    commands = [shlex.join(words) for words in TUTORIAL.commands() if PACKAGE in " ".join(words)]
    commands.remove(f"ganzoo check {PACKAGE}")  # takes a minute; tests/test_docs_plugins.py runs it on such a package
    assert len(commands) == 3
    for command in commands:
        run = workbench.ganzoo if command.startswith("ganzoo ") else workbench.run
        run(re.sub(r"--steps \d+", "--steps 10", command))
    assert list((workbench.work / "runs" / PACKAGE / "samples").glob("*.png"))


@pytest.mark.usefixtures("empty_directory")
def test_the_remedies_of_troubleshooting_run(ganzoo_cli: Command) -> None:
    pages.run(ganzoo_cli, shlex.split("ganzoo train cgan --dataset digits --steps 100 --out runs/first"))
    assert len(TROUBLESHOOTING.commands()) >= 4
    for words in TROUBLESHOOTING.commands():
        pages.run(ganzoo_cli, words)


def test_the_tutorials_refusals_are_as_shown(ganzoo_cli: Command) -> None:
    pages.assert_refused(ganzoo_cli, TUTORIAL)


@pytest.mark.parametrize("name", LINKED)
def test_links_are_valid(name: str) -> None:
    page = pages.Page(name)
    assert page.links() or name != "README.md"
    for link in page.links():
        file, _, fragment = link.partition("#")
        target = page.path.parent / file if file else page.path
        assert target.exists(), link
        if fragment:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in map(pages.anchor, headings), link

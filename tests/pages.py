"""Pages of documentation whose commands and code are run by tests."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ganzoo.evaluation import feature_extractor
from tests.conftest import Command, Result

ROOT = Path(__file__).parent.parent
SHORTENED = ("--steps", "--evaluate-every")
FACTOR = 100
"""Tests divide the values of the options in SHORTENED by this."""


class Page:
    """A Markdown file of the repository."""

    def __init__(self, name: str):
        self.path = ROOT / name
        self.text = self.path.read_text(encoding="utf-8")

    def blocks(self, *languages: str) -> list[tuple[str, str]]:
        """Language and content of each code block in one of `languages`, in order."""
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)
        return [(language, content) for language, content in blocks if language in languages]

    def commands(self) -> list[list[str]]:
        """The commands of all `sh` blocks."""
        return [words for _, block in self.blocks("sh") for words in commands_of(block)]

    def refusals(self) -> list[tuple[list[str], str]]:
        """The commands of all `console` blocks, after `$`, each with the message below it."""
        dialogues = [block.partition("\n") for _, block in self.blocks("console")]
        return [(shlex.split(command.removeprefix("$ ")), message) for command, _, message in dialogues]

    def links(self) -> list[str]:
        """The targets of all links and images, external ones excluded."""
        return [target for target in re.findall(r"\]\(([^)]+)\)", self.text) if "://" not in target]


def commands_of(block: str) -> list[list[str]]:
    """The commands of an `sh` block, without comments, split into words."""
    return [words for line in block.splitlines() if (words := shlex.split(line, comments=True))]


def run(ganzoo_cli: Command, words: list[str]) -> Result:
    """Run a `ganzoo` command with training shortened; it must succeed."""
    short = [
        str(max(1, int(word) // FACTOR)) if before in SHORTENED else word for before, word in zip(words, words[1:])
    ]
    result = ganzoo_cli(*short)
    assert result.code == 0, f"ganzoo {' '.join(short)}\n{result.err}"
    return result


def use_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and cache, and evaluation's classifier trained for a short time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(feature_extractor, "MAX_EPOCHS", 2)
    monkeypatch.setattr(feature_extractor, "MIN_STEPS", 1)


def assert_refused(ganzoo_cli: Command, page: Page) -> None:
    """Every command in a `console` block of `page` ends with the message shown below it, whatever the line breaks."""
    assert page.refusals()
    for words, message in page.refusals():
        result = ganzoo_cli(*words[1:])
        assert result.code == 2
        assert result.err.split() == message.split()


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

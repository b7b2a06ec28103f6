"""Every command and every code block of README.md runs as written, with training shortened (see tests/pages.py)."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.plugin import Architecture
from ganzoo.core.registry import validate
from tests import pages
from tests.conftest import Command

README = pages.Page("README.md")


@pytest.fixture
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages.use_empty_directory(tmp_path, monkeypatch)


def test_every_make_target_and_test_named_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (pages.ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = set(re.findall(r"\bmake ([a-z-]+)", README.text))
    assert {"demo", "test", "lint", "bench"} <= named <= set(targets)
    paths = re.findall(r"`(?:[a-z-]+ )*((?:tests|benchmarks)/[\w/.]+)", README.text)
    assert len(paths) >= 4
    for path in paths:
        assert (pages.ROOT / path).exists(), path


@pytest.mark.usefixtures("empty_directory")
def test_every_command_runs(ganzoo_cli: Command) -> None:
    assert all(words[0] in ("ganzoo", "make") for words in README.commands())
    ours = [words for words in README.commands() if words[0] == "ganzoo"]
    assert len(ours) >= 10
    for words in ours:
        pages.run(ganzoo_cli, words)
    assert Path("threes-and-sevens.png").exists()
    assert Path("comparison.html").exists()


def test_its_refusals_are_as_shown(ganzoo_cli: Command) -> None:
    pages.assert_refused(ganzoo_cli, README)


def test_the_toml_file_is_accepted(ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (content,) = (block for _, block in README.blocks("toml") if "[set]" in block)
    Path("cgan.toml").write_text(content)
    result = ganzoo_cli("train", "cgan", "--config", "cgan.toml", "--dry-run")
    assert result.code == 0
    assert "least_squares" in result.out


@pytest.mark.usefixtures("empty_directory")
def test_the_python_code_runs() -> None:
    (example,) = (block for _, block in README.blocks("python") if "ganzoo.train" in block)
    scope: dict[str, Any] = {}
    exec(example, scope)
    assert tuple(scope["threes"].shape) == (16, 1, 8, 8)
    assert set(scope["figures"]["frechet"]) == {"value", "real", "better"}


def test_the_block_of_the_readme_runs() -> None:
    (example,) = (block for _, block in README.blocks("python") if "ConvTransposeBNReLU" in block)
    exec(example, {})


def test_the_plugin_is_a_valid_card(monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = (block for _, block in README.blocks("python") if "class MyGAN" in block)
    module = types.ModuleType("my_package")
    monkeypatch.setitem(sys.modules, "my_package", module)  # dataclasses look their module up
    exec(example, module.__dict__)
    card = validate(module.MyGAN, Architecture)
    assert make(card.Config, {"width": "32"}).width == 32


def test_every_built_in_is_in_the_readme() -> None:
    for entry in registry.architectures():
        if entry.card.__module__.startswith("ganzoo_plugins."):
            assert f"| `{entry.name}` |" in README.text
    for entry in registry.datasets():
        if entry.card.__module__.startswith("ganzoo_plugins."):
            assert f"`{entry.name}" in README.text

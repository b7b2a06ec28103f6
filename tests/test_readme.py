"""Every command and every piece of code in README.md runs as written."""

from __future__ import annotations

import re
import shlex
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from ganzoo.core import registry
from ganzoo.core.config import make
from ganzoo.core.plugin import Architecture
from ganzoo.core.registry import validate
from ganzoo.evaluation import feature_extractor as judge
from tests.conftest import Command

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line.partition("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line) for line in lines if line]


def test_every_make_target_and_file_named_exists() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = set(re.findall(r"\bmake ([a-z-]+)", README))
    assert {"demo", "test", "lint", "bench"} <= named <= set(targets)
    for path in re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"`((?:tests|benchmarks)/[\w/.]+)`", README):
        assert (ROOT / path).exists(), path


@pytest.fixture
def short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty working directory and cache, and evaluation's classifier trained for a short time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(judge, "MOST_EPOCHS", 2)
    monkeypatch.setattr(judge, "LEAST_STEPS", 1)


@pytest.mark.usefixtures("short")
def test_every_command_runs(ganzoo_cli: Command, tmp_path: Path) -> None:
    ours = [words for words in commands() if words[0] == "ganzoo"]
    assert len(ours) >= 7
    assert all(words[0] in ("ganzoo", "make") for words in commands())
    for words in ours:
        result = ganzoo_cli(*words[1:])
        assert result.code == 0, f"{' '.join(words)}\n{result.err}"
    assert (tmp_path / "threes-and-sevens.png").exists()
    assert (tmp_path / "comparison.html").exists()


def test_the_toml_file_is_accepted(ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (content,) = (block for block in blocks("toml") if "[set]" in block)
    Path("cgan.toml").write_text(content)
    result = ganzoo_cli("train", "cgan", "--config", "cgan.toml", "--dry-run")
    assert result.code == 0
    assert "least_squares" in result.out


@pytest.mark.usefixtures("short")
def test_the_python_code_runs() -> None:
    (example,) = (block for block in blocks("python") if "ganzoo.train" in block)
    scope: dict[str, Any] = {}
    exec(example, scope)
    assert tuple(scope["threes"].shape) == (16, 1, 8, 8)
    assert set(scope["figures"]["frechet"]) == {"value", "real", "better"}


def test_the_block_of_the_readme_runs() -> None:
    (example,) = (block for block in blocks("python") if "ConvTransposeBNReLU" in block)
    exec(example, {})


def test_the_plugin_is_a_valid_card(monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = (block for block in blocks("python") if "class MyGAN" in block)
    module = types.ModuleType("my_package")
    monkeypatch.setitem(sys.modules, "my_package", module)  # dataclasses look their module up
    exec(example, module.__dict__)
    card = validate(module.MyGAN, Architecture)
    assert make(card.Config, {"width": "32"}).width == 32


def test_every_built_in_is_in_the_zoo_table() -> None:
    for entry in registry.architectures():
        if entry.distribution == "ganzoo-core":
            assert f"| `{entry.name}` |" in README
    for entry in registry.datasets():
        if entry.distribution == "ganzoo-core":
            assert f"`{entry.name}" in README

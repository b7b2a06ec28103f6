"""The architectures in examples/, installed as third-party packages and tested by their own tests."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from tests.conftest import EXAMPLES as ROOT
from tests.conftest import Command, Site
from tests.workbench import Workbench

EXAMPLES = sorted(path.parent for path in ROOT.glob("*/pyproject.toml") if "ganzoo.architectures" in path.read_text())


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda path: path.name)
def example(request: pytest.FixtureRequest, workbench: Workbench) -> Path:
    """A copy of the example's folder; the package is installed from it."""
    folder = workbench.work / request.param.name
    shutil.copytree(request.param, folder)
    workbench.run(f"pip install --quiet --no-deps {folder}")
    return folder


def architectures(example: Path) -> list[str]:
    points = tomllib.loads((example / "pyproject.toml").read_text())["project"]["entry-points"]
    return list(points["ganzoo.architectures"])


def test_it_is_listed(example: Path, workbench: Workbench) -> None:
    rows = json.loads(workbench.run("ganzoo list --json"))
    for name in architectures(example):
        (row,) = (row for row in rows if (row["name"], row["distribution"]) == (name, example.name))
        assert row["status"] == "ok" or f"use it as {example.name}:{name}" in row["error"]


@pytest.mark.slow
def test_its_own_tests_pass(example: Path, workbench: Workbench) -> None:
    assert (example / "tests").is_dir()
    workbench.run("pytest -q", example)


def commands(example: Path) -> list[str]:
    text = (example / "README.md").read_text(encoding="utf-8")
    return [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]


@pytest.mark.slow
def test_the_install_commands_of_its_readme_work(example: Path, workbench: Workbench) -> None:
    others = [command for command in commands(example) if not command.startswith("ganzoo ")]
    assert others[0].startswith("pip install")
    for command in others:
        workbench.run("pytest -q --collect-only" if command == "pytest" else command, example)


SHORTER = {r"--steps \d+|--minutes \d+": "--steps 2", r"\bmnist\b": "digits", "folder:PATH": "folder:mine"}


@pytest.mark.parametrize("name", [path.name for path in EXAMPLES])
def test_the_ganzoo_commands_of_its_readme_work(
    name: str, installed: Callable[[str], Site], ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command in order, shortened and on digits."""
    installed(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    for i in range(100):
        Image.new("L", (8, 8), 2 * i).save(tmp_path / "mine" / f"{i}.png")
    ours = [command for command in commands(ROOT / name) if command.startswith("ganzoo ")]
    assert any(command.startswith("ganzoo train") for command in ours)
    for command in ours:
        for long, short in SHORTER.items():
            command = re.sub(long, short, command)
        result = ganzoo_cli(*shlex.split(command)[1:])
        assert result.code == 0, f"{command}\n{result.err}"


def test_it_imports_no_built_in_plugin(example: Path) -> None:
    files = list((example / example.name.replace("-", "_")).glob("*.py"))
    assert len(files) >= 2
    for file in files:
        assert "ganzoo_plugins" not in file.read_text()

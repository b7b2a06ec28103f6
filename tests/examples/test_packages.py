"""The packages in examples/, installed like any stranger's and tested by their own tests."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from ..workbench import Workbench
from .conftest import EXAMPLES as ROOT

EXAMPLES = sorted(path.parent for path in ROOT.glob("*/pyproject.toml"))


@pytest.fixture(scope="module", params=EXAMPLES, ids=lambda path: path.name)
def example(request: pytest.FixtureRequest, workbench: Workbench) -> Path:
    """The installed example's own folder, a copy."""
    folder = workbench.work / request.param.name
    shutil.copytree(request.param, folder)
    workbench.run(f"pip install --quiet --no-deps {folder}")
    return folder


def architectures(example: Path) -> list[str]:
    points = tomllib.loads((example / "pyproject.toml").read_text())["project"]["entry-points"]
    return list(points["ganzoo.architectures"])


def test_it_is_listed_like_any_other(example: Path, workbench: Workbench) -> None:
    rows = {row["name"]: row for row in json.loads(workbench.run("ganzoo list --json"))}
    for name in architectures(example):
        assert (rows[name]["status"], rows[name]["distribution"]) == ("ok", example.name)


@pytest.mark.slow
def test_its_own_tests_pass(example: Path, workbench: Workbench) -> None:
    assert (example / "tests").is_dir()
    workbench.run("pytest -q", example)


def test_it_imports_no_built_in_plugin(example: Path) -> None:
    for file in example.rglob("*.py"):
        assert "ganzoo_plugins" not in file.read_text()

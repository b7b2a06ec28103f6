"""The package that `ganzoo new` writes; tests/test_docs_plugins.py and test_wheel.py install, check and train one."""

from __future__ import annotations

import ast
import errno
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ganzoo import template
from tests.conftest import Command, Site

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "folder", "package", "class_name"),
    [
        ("mine", "ganzoo-mine", "ganzoo_mine", "Mine"),
        ("style_mix2", "ganzoo-style-mix2", "ganzoo_style_mix2", "StyleMix2"),
        ("style-mix", "ganzoo-style-mix", "ganzoo_style_mix", "StyleMix"),
        ("class", "ganzoo-class", "ganzoo_class", "Class"),
        ("config", "ganzoo-config", "ganzoo_config", "Config"),
    ],
)
def test_names_follow_from_the_name(name: str, folder: str, package: str, class_name: str) -> None:
    path = template.write(name)
    assert path == Path(folder)
    assert f'{name} = "{package}:{class_name}"' in (path / "pyproject.toml").read_text()
    card = (path / package / "__init__.py").read_text()
    classes = [node.name for node in ast.parse(card).body if isinstance(node, ast.ClassDef)]
    assert classes == [f"{class_name}Config", class_name]
    for file in path.rglob("*.py"):
        compile(file.read_text(), str(file), "exec")
    assert not [file for file in path.rglob("*") if file.is_file() and "$class_name" in file.read_text()]


def test_dir_chooses_the_directory_which_may_be_empty(ganzoo_cli: Command, elsewhere: Path) -> None:
    (elsewhere / "here").mkdir()
    result = ganzoo_cli("new", "mine", "--dir", "here")
    assert (result.code, result.err) == (0, "")
    assert "here/pyproject.toml\n" in result.out
    assert [path.name for path in elsewhere.iterdir()] == ["here"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Mine",), "'Mine' is not a valid name: expected lower-case letters"),
        (("2gan",), "is not a valid name: expected lower-case letters and digits, a letter first"),
        (("a/b",), "is not a valid name"),
        (("mine-",), "is not a valid name"),
        (("true",), "'true' is not a valid name: Python reserves True"),
        (("cgan",), "'cgan' is already installed"),
        (("mine", "--dir", "full"), "full exists and is not an empty directory"),
        (("mine", "--dir", "full/file"), "file exists and is not an empty directory"),
        (("hinge", "--kind", "loss"), "A loss called 'hinge' is already installed"),
        (("digits", "--kind", "dataset"), "A data set called 'digits' is already installed"),
        (("mine", "--kind", "cooker"), "'cooker' is not one of 'architecture', 'dataset', 'metric', 'loss', 'logger'"),
        ((), "Missing argument 'NAME'"),
    ],
)
def test_invalid_requests_are_wrong_usage_and_write_nothing(
    arguments: tuple[str, ...], message: str, ganzoo_cli: Command, elsewhere: Path
) -> None:
    (elsewhere / "full").mkdir()
    (elsewhere / "full" / "file").touch()
    result = ganzoo_cli("new", *arguments)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert sorted(path.name for path in elsewhere.rglob("*")) == ["file", "full"]


def test_a_full_disk_leaves_nothing_behind(
    ganzoo_cli: Command, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = Path.write_text, [3]

    def fill_up(self: Path, *args: Any, **options: Any) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, *args, **options)

    monkeypatch.setattr(Path, "write_text", fill_up)
    result = ganzoo_cli("new", "mine")
    assert (result.code, result.err) == (1, "Error: Cannot write ganzoo-mine: No space left on device\n")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("kind", [kind for kind in template.KINDS if kind != "architecture"])
def test_each_kind_is_accepted_by_ganzoo_check_and_its_tests_run_the_same_checks(
    kind: str, elsewhere: Path, site: Site, install: Callable[[Site], None], ganzoo_cli: Command
) -> None:
    written = ganzoo_cli("new", "my-own", "--kind", kind)
    assert (written.code, written.err) == (0, "")
    project = tomllib.loads((elsewhere / "ganzoo-my-own" / "pyproject.toml").read_text())["project"]
    ((group, points),) = project["entry-points"].items()
    ((name, target),) = points.items()
    code = (elsewhere / "ganzoo-my-own" / "ganzoo_my_own" / "__init__.py").read_text()
    site.add("ganzoo-my-own", code, **{group.removeprefix("ganzoo."): {name: target.partition(":")[2]}})
    install(site)
    command = re.search(r"^Check    ganzoo (.+)$", written.out, re.MULTILINE)
    assert command is not None
    result = ganzoo_cli(*command[1].split())
    assert result.code == 0, result.out
    assert "failed" not in result.out
    tests = (elsewhere / "ganzoo-my-own" / "tests" / "test_conformance.py").read_text()
    space: dict[str, Any] = {}
    exec(tests, space)
    (mark,) = space["test_conformance"].pytestmark
    checks = [case.values[0].name for case in mark.args[1] if case.values[0] is not None]
    assert checks == re.findall(r"^ok +(\w+)", result.out, re.MULTILINE)

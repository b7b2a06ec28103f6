"""Environments with published packages only.

`make wheel-test` collects the wheels of all dependencies in a folder and sets GANZOO_WHEELS to it. The environment is
then empty, and that folder is its only index. Without GANZOO_WHEELS only our own wheel comes from a folder, built
without torch and hence without the native extension; the environment borrows all other packages from the running
Python.
"""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

import pytest

from ganzoo import template

ROOT = Path(__file__).parents[2]
WHEELS = os.environ.get("GANZOO_WHEELS")
SOURCES = (
    "ganzoo",
    "plugins",
    "benchmarks",
    "csrc",
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
)


def run(command: Sequence[object], folder: Path, **environment: str) -> str:
    """The output of a command; the test fails with its messages if it fails."""
    dropped = ("PYTHONPATH", "PIP_CONSTRAINT", "PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    isolated = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=inherited | isolated | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with our wheel in it."""
    if WHEELS is not None:
        return Path(WHEELS)
    folder, source = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "results")
    for name in SOURCES:
        path = ROOT / name
        shutil.copytree(path, source / name, ignore=ignored) if path.is_dir() else shutil.copy(path, source)
    (source / "no_torch" / "torch").mkdir(parents=True)
    (source / "no_torch" / "torch" / "__init__.py").write_text("raise ImportError('not needed to build')\n")
    options = ["--no-deps", "--no-build-isolation", "--wheel-dir", folder, source]
    run([sys.executable, "-m", "pip", "wheel", *options], source, PYTHONPATH=str(source / "no_torch"))
    return folder


class Environment:
    """A new virtual environment, with the folder of wheels as the only index of its pip.

    With `like` it has the packages of that environment, except ours and plugins: torch is not unpacked again.
    """

    def __init__(self, path: Path, wheels: Path, like: Environment | None = None):
        self.path, self.bin, self.wheels = path, path / "bin", wheels
        venv.create(path, with_pip=WHEELS is not None)
        self.variables = {"PATH": f"{self.bin}:{os.environ['PATH']}", "VIRTUAL_ENV": str(path), "COLUMNS": "200"}
        self.variables["PIP_FIND_LINKS"] = str(wheels)
        if WHEELS is None:
            self.borrow()
        elif like is not None:
            self.link(like.packages)
        assert not list(self.packages.glob("ganzoo*"))

    @property
    def packages(self) -> Path:
        return Path(sysconfig.get_path("purelib", vars={"base": str(self.path)}))

    def borrow(self) -> None:
        """Make the packages of the running Python visible, except ganzoo-core."""
        borrowed = self.path / "borrowed"
        borrowed.mkdir()
        for folder in map(Path, site.getsitepackages()):
            for package in folder.iterdir() if folder.is_dir() else ():
                if "ganzoo" not in package.name and package.suffix != ".pth" and not (borrowed / package.name).exists():
                    (borrowed / package.name).symlink_to(package)
        (self.packages / "borrowed.pth").write_text(f"{borrowed}\n")
        self.variables["PIP_NO_BUILD_ISOLATION"] = "0"  # pip negates this variable: isolation is off
        for name in ("pip", "pytest"):
            (self.bin / name).write_text(f'#!/bin/sh\nexec {self.bin / "python"} -m {name} "$@"\n')
            (self.bin / name).chmod(0o755)

    def link(self, packages: Path) -> None:
        """Link to the files of these packages, except ganzoo's, plugins', and what a new environment has already."""
        for package in packages.iterdir():
            target = self.packages / package.name
            if target.exists() or "ganzoo" in package.name or package.name.startswith(("pip", "setuptools")):
                continue
            if package.is_dir():
                shutil.copytree(package, target, copy_function=os.link)
            else:
                os.link(package, target)

    def run(self, command: str, folder: Path) -> str:
        """The output of a shell command in this environment."""
        return run(["sh", "-ec", command], folder, **self.variables)


@pytest.fixture(scope="session")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that `ganzoo new` has just written."""
    return template.write("fresh", tmp_path_factory.mktemp("plugin") / "ganzoo-fresh")


def ci_lines(plugin: Path) -> list[str]:
    return re.findall(r"^ +- run: (.+)$", (plugin / ".github/workflows/ci.yml").read_text(), re.MULTILINE)


@pytest.fixture(scope="session")
def installed(wheels: Path, plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment in which the first line of the plugin's CI has run."""
    environment = Environment(tmp_path_factory.mktemp("environment"), wheels)
    install, *_ = ci_lines(plugin)
    assert install == 'pip install -e ".[test]"'
    environment.run(install, plugin)
    return environment

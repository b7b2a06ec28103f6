"""The packages of examples/ installed as a stranger's would be, each into a folder of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Site

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with the example of this name, installed by pip, once for all tests."""
    done: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in done:
            source, target = tmp_path_factory.mktemp("source") / name, tmp_path_factory.mktemp(name)
            subprocess.run(["cp", "-r", EXAMPLES / name, source], check=True)  # building leaves files behind
            words = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
            subprocess.run([sys.executable, *words, "--target", target, source], check=True)
            done[name] = target
        return done[name]

    return folder


@pytest.fixture
def installed(packages: Callable[[str], Path], install: Callable[[Site], None]) -> Callable[[str], Site]:
    """Installs the example of this name until the test ends."""

    def put(name: str) -> Site:
        site, package = Site(packages(name)), name.replace("-", "_")
        site.modules += [package, *(f"{package}.{file.stem}" for file in (site.path / package).glob("*.py"))]
        install(site)
        return site

    return put


@pytest.fixture
def pix2pix(installed: Callable[[str], Site]) -> Site:
    return installed("ganzoo-pix2pix")

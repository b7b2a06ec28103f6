"""A model's package in an environment without ganzoo's sources and without a network: part of `make wheel-test`."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ganzoo
from ganzoo.models import pack
from tests.template.conftest import WHEELS, Environment

NO_NETWORK = """
import socket

def refuse(self, address):
    raise SystemExit(f"this program wants to connect to {address}")

socket.socket.connect = socket.socket.connect_ex = refuse
"""
SECONDS = 5.0
"""Of processor time from the command to its file, as other things may run meanwhile."""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that `ganzoo pack` has just written, of a conditional GAN of digits."""
    folder = tmp_path_factory.mktemp("model")
    settings: dict[str, Any] = {"width": 4, "batch_size": 16}
    run = ganzoo.train("cgan", dataset="digits", steps=2, out=folder / "run", settings=settings, callbacks=[])
    return pack(run, "tiny-digits", folder / "ganzoo-tiny-digits", metrics=["ms_ssim"], samples=64)


@pytest.mark.slow
def test_a_packed_model_samples_by_name_after_pip_install(
    package: Path, wheels: Path, installed: Environment, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "environment", wheels, like=installed)
    environment.run(f"pip install {package}", package)
    (environment.packages / "sitecustomize.py").write_text(NO_NETWORK)
    here = tmp_path / "here"
    here.mkdir()
    with pytest.raises(AssertionError, match="wants to connect"):
        environment.run("python -c 'import socket; socket.create_connection((\"127.0.0.1\", 9))'", here)
    assert "tiny-digits" in environment.run("ganzoo models", here)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment.run("ganzoo sample tiny-digits --label 3 --count 4 --seed 1 --out three.npz", here)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert WHEELS is None or seconds < SECONDS  # only the complete environment has the kernels
    expected = ganzoo.load(package / "ganzoo_tiny_digits" / "model").sample(4, labels=[3] * 4, seed=1).numpy()
    drawn = np.load(here / "three.npz")["images"]
    assert np.abs(drawn.astype(int) - expected.astype(int)).max() <= 1  # other kernels round otherwise

"""Runs written by earlier releases load, sample the same bytes, evaluate and resume to the same weights."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ganzoo
from ganzoo.training.loading import generate_from_inputs
from ganzoo.training.run import Run
from tests.conftest import Site

FROZEN = Path(__file__).parent / "frozen"
RELEASES = sorted(path.parent for path in FROZEN.glob("*/expected.json"))
RUNS = sorted(path.parent for path in FROZEN.glob("*/*/config.json"))
METRICS = {"pix2pix": ["psnr"], "ring": ["modes"]}


@pytest.fixture(params=RUNS, ids=lambda path: f"{path.parent.name}-{path.name}")
def frozen(request: pytest.FixtureRequest, pix2pix: Site, tmp_path: Path) -> Path:
    """A copy of a frozen run that a test may change."""
    return Path(shutil.copytree(request.param, tmp_path / request.param.name))


def expected(run: Path) -> dict[str, Any]:
    """The results that the release which wrote the run had."""
    (release,) = (folder for folder in RELEASES if (folder / run.name).is_dir())
    content = json.loads((release / "expected.json").read_text())
    same_cpu = content["cpu"] == torch.backends.cpu.get_cpu_capability()
    return {**content["runs"][run.name], "samples": np.load(release / f"{run.name}.npy"), "same_cpu": same_cpu}


def weights(checkpoint: Path) -> str:
    digest = hashlib.sha256()
    for name in ("model", "ema"):
        for key, tensor in sorted(load_file(checkpoint / f"{name}.safetensors").items()):
            digest.update(key.encode())
            digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def test_there_is_a_frozen_run_of_every_kind() -> None:
    assert {path.name for path in RUNS} >= {"vanilla", "cgan", "pix2pix", "ring", "interrupted"}


def test_it_samples_the_same_bytes(frozen: Path) -> None:
    run, gan = Run.open(frozen), ganzoo.load(frozen, "cpu")
    samples = generate_from_inputs(gan, run, 6, seed=1)["images"] if gan.paired else gan.sample(12, seed=1)
    then = expected(frozen)
    assert samples.shape == then["samples"].shape
    # other vector instructions round sums differently
    tolerance = 0 if then["same_cpu"] else 1 if samples.dtype == torch.uint8 else 1e-5
    assert np.abs(samples.numpy().astype(np.float64) - then["samples"]).max() <= tolerance


def test_it_evaluates_to_the_same_figures(frozen: Path) -> None:
    names = METRICS.get(frozen.name, ["memorisation"])
    figures = ganzoo.evaluate(frozen, samples=2500, metrics=names, device="cpu").figures
    for name, value in expected(frozen)["figures"].items():
        assert figures[name]["value"] == pytest.approx(value, rel=1e-3, abs=1e-6), name


def test_it_resumes_to_the_same_weights(frozen: Path) -> None:
    then, threads = expected(frozen), torch.get_num_threads()
    run = ganzoo.train(resume=frozen, steps=then["steps"])
    assert torch.get_num_threads() == threads
    checkpoint = run.checkpoints / f"step-{then['steps']:08d}"
    assert checkpoint.is_dir()
    if then["same_cpu"]:
        assert weights(checkpoint) == then["weights"]

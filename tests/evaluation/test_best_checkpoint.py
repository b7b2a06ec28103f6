"""Evaluation during training keeps the best checkpoint and does not affect the training."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ganzoo
from ganzoo.cli import main
from ganzoo.core import distributed
from ganzoo.core.errors import UsageError
from ganzoo.evaluation import feature_extractor
from ganzoo.evaluation.best_checkpoint import ranking
from ganzoo.evaluation.metrics import MetricValue, all_metrics
from ganzoo.training import checkpoint
from ganzoo.training.run import Run
from tests.conftest import Command
from tests.ranks import together
from tests.runs import assert_same, last_state

SMALL: dict[str, Any] = {"dataset": "ring", "steps": 12, "batch_size": 32, "checkpoint_every": 4}
MEASURED: dict[str, Any] = {**SMALL, "evaluate_every": 3, "best_by": "modes"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ganzoo.train("vanilla", out=tmp_path_factory.mktemp("best") / "run", **MEASURED)


def test_the_best_is_kept_in_addition_to_the_newest(measured: Run) -> None:
    lines = measured.evaluations()
    assert [line["step"] for line in lines] == [3, 6, 9, 12]
    assert {"modes", "high_quality", "mode_kl"} <= set(lines[0])
    best = max(lines, key=lambda line: (line["rank"], -line["step"]))
    path, problems = checkpoint.newest_valid(measured.best)
    assert (path.name, problems) == (f"step-{best['step']:08d}", [])
    assert lines[0]["best"] is True
    assert checkpoint.newest_valid(measured.checkpoints)[0].name == "step-00000012"


def test_the_best_can_be_loaded_evaluated_and_sampled(measured: Run, ganzoo_cli: Command, tmp_path: Path) -> None:
    run = Run.open(shutil.copytree(measured.path, tmp_path / "run"))
    shutil.rmtree(run.best / "step-00000012", ignore_errors=True)  # the best is not the newest
    path, _ = checkpoint.newest_valid(run.best)
    assert checkpoint.read_state(path)["step"] == int(path.name.removeprefix("step-")) < 12
    gan = ganzoo.load(run.path, best=True)
    weights = load_file(path / "ema.safetensors")
    assert all(torch.equal(tensor, weights[name]) for name, tensor in gan.generator.state_dict().items())
    out = tmp_path / "best.npz"
    assert ganzoo_cli("sample", run.path, "--best", "--seed", 1, "--count", 5, "--out", out).code == 0
    with np.load(out) as file:
        assert any(np.array_equal(file[name], gan.sample(5, seed=1).numpy()) for name in file.files)
    result = ganzoo_cli("evaluate", run.path, "--best", "--metrics", "modes")
    assert result.code == 0
    assert path.name in result.out


def test_measuring_does_not_disturb_the_training(measured: Run, tmp_path: Path) -> None:
    plain = ganzoo.train("vanilla", out=tmp_path / "run", **SMALL)
    first, second = (ganzoo.load(run.path).state_dict() for run in (plain, measured))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_resumed_run_remembers_its_best_checkpoint(measured: Run, tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", out=tmp_path / "run", **{**MEASURED, "steps": 6})
    ganzoo.train(resume=run.path, steps=12)
    lines = [{k: v for k, v in line.items() if k != "seconds"} for line in run.evaluations()]
    assert lines == [{k: v for k, v in line.items() if k != "seconds"} for line in measured.evaluations()]
    assert checkpoint.newest_valid(run.best)[0].name == checkpoint.newest_valid(measured.best)[0].name


def test_without_it_there_is_no_best(tmp_path: Path, ganzoo_cli: Command) -> None:
    run = ganzoo.train("vanilla", out=tmp_path / "run", **{**SMALL, "steps": 1})
    assert not run.best.exists()
    result = ganzoo_cli("sample", run.path, "--best", "--out", tmp_path / "x.npz")
    assert result.code == 2
    assert "has no best checkpoint: train with --evaluate-every N" in result.err


def test_an_inapplicable_metric_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="frechet needs images"):
        ganzoo.train("vanilla", out=tmp_path / "a", **{**MEASURED, "best_by": "frechet"})
    with pytest.raises(UsageError, match="Did you mean modes"):
        ganzoo.train("vanilla", out=tmp_path / "b", **{**MEASURED, "best_by": "mode"})
    assert not (tmp_path / "b").exists()
    with pytest.raises(UsageError, match="needs evaluate_every"):
        ganzoo.train("vanilla", out=tmp_path / "c", **SMALL, best_by="modes")


def test_ranking_is_greater_for_better_values() -> None:
    def rank(modes: float, kl: float, entropy: float) -> tuple[float, ...]:
        return ranking(
            {
                "m": MetricValue(modes, "higher"),
                "k": MetricValue(kl, "lower"),
                "e": MetricValue(entropy, "real", real=2.3),
            }
        )

    assert rank(8, 0.1, 2) > rank(7, 0.0, 2.3)
    assert rank(8, 0.1, 2) > rank(8, 0.2, 2.3)
    assert rank(8, 0.1, 2.2) > rank(8, 0.1, 2.5)
    assert rank(8, 9, 0) > rank(float("nan"), 0.1, 2.3)


def command(folder: Path, metric: str, *words: object) -> None:
    """Run the command line on one rank; it fails if any rank but 0 measures."""
    feature_extractor.MAX_EPOCHS, feature_extractor.MIN_STEPS = 2, 1
    metric_class = type(all_metrics()[metric])
    measure = metric_class.measure

    def on_rank_0(self: Any, context: Any) -> Any:
        assert distributed.rank() == 0
        return measure(self, context)

    metric_class.measure = on_rank_0  # type: ignore[method-assign]
    os.chdir(folder)
    sys.argv = ["ganzoo", "train", "--nproc", "2", *map(str, words)]
    main()


def on_two_ranks(folder: Path, metric: str, *words: object) -> list[int]:
    return together(2, command, folder, metric, *words, folder=folder, XDG_CACHE_HOME=folder / "cache")


@pytest.mark.parametrize(
    ("architecture", "data", "metric"), [("vanilla", "ring", "modes"), ("cgan", "digits", "frechet")]
)
def test_rank_0_measures_for_all_ranks(architecture: str, data: str, metric: str, tmp_path: Path) -> None:
    words: list[object] = [architecture, "--dataset", data, "--batch-size", 32, "--checkpoint-every", 4]
    measured = ["--evaluate-every", 3, "--best-by", metric]
    assert on_two_ranks(tmp_path, metric, *words, *measured, "--steps", 6, "--out", "run") == [0, 0]
    assert on_two_ranks(tmp_path, metric, "--resume", "run", "--steps", 12) == [0, 0]
    run = Run.open(tmp_path / "run")
    lines = run.evaluations()
    assert [line["step"] for line in lines] == [3, 6, 9, 12]
    best = max(lines, key=lambda line: (line["rank"], -line["step"]))
    path, problems = checkpoint.newest_valid(run.best)
    assert (path.name, problems) == (f"step-{best['step']:08d}", [])
    assert len(checkpoint.read_state(path)["torch_rng"]) == 2
    if metric == "modes":
        assert on_two_ranks(tmp_path, metric, *words, "--steps", 12, "--out", "plain") == [0, 0]
        for part in ("model", "ema"):
            assert_same(last_state(tmp_path / "run")[part], last_state(tmp_path / "plain")[part])


def test_an_inapplicable_metric_is_refused_once_on_several_ranks(tmp_path: Path) -> None:
    words = ["vanilla", "--dataset", "ring", "--steps", 3, "--out", "run"]
    measured = ["--evaluate-every", 1, "--best-by", "frechet"]
    assert on_two_ranks(tmp_path, "frechet", *words, *measured) == [2, 2]
    assert (tmp_path / "output").read_text().count("frechet needs images") == 1

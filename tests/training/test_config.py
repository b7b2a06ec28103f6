"""Training options are declared once, in `TrainConfig`; command line, docstring and config.json follow from it."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest

import ganzoo
from ganzoo.core.errors import UsageError
from ganzoo.training.config import LENGTHS, OPTIONS, STORED, TrainConfig
from ganzoo.training.run import Run
from ganzoo.training.run_config import fill_in, options_of, resumed_options, to_run_config
from tests.conftest import Command

DOCUMENTED = [name for name in OPTIONS if name != "architecture"]
OTHER_VALUES = {
    "data_dir": "elsewhere", "epochs": 2.0, "minutes": 0.01, "checkpoint_every": 7, "sample_every": 8,
    "evaluate_every": 9, "steps": 11, "seed": 3, "device": "cuda", "precision": "bf16", "cuda_graph": True,
}  # fmt: skip


def test_the_command_line_offers_every_option_in_a_section(ganzoo_cli: Command) -> None:
    text = ganzoo_cli("train", "--help").out
    for name in DOCUMENTED:
        assert f"  --{name.replace('_', '-')} " in text
        assert OPTIONS[name].help.split(";")[0][:40] in text
    for section in ("Data", "Model", "Schedule", "Compute", "Run", "Help"):
        assert f"\n{section}:\n" in text
    assert text.index("\nData:") < text.index("  --dataset") < text.index("\nModel:")


def test_help_fits_a_screen(ganzoo_cli: Command) -> None:
    lines = ganzoo_cli("train", "--help").out.splitlines()
    assert len(lines) <= 56


def test_python_documents_every_option() -> None:
    signature = inspect.signature(ganzoo.train)
    for name in DOCUMENTED:
        assert f"        {name}: {OPTIONS[name].help}" in str(ganzoo.train.__doc__)
        assert signature.parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


def test_a_dry_run_and_the_run_itself_hold_every_option(ganzoo_cli: Command, tmp_path: Path) -> None:
    words = ["vanilla", "--dataset", "digits", "--steps", 1, "--seed", 3, "--sample-every", 8]
    shown = json.loads(ganzoo_cli("train", *words, "--dry-run", "--json").out)
    assert ganzoo_cli("train", *words, "--out", tmp_path / "run").code == 0
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    for config in (shown, stored):
        options = {**config, **config["schedule"]}
        assert set(STORED) <= set(options)
        assert (options["seed"], options["sample_every"], options["steps"]) == (3, 8, 1)


@pytest.mark.parametrize("name", ["seed", "precision"])
def test_an_option_that_is_not_resumable_is_refused_by_name(name: str, tmp_path: Path) -> None:
    assert not OPTIONS[name].resumable
    run = ganzoo.train("vanilla", dataset="digits", steps=1, batch_size=16, out=tmp_path / "run")
    with pytest.raises(UsageError, match=f"{name}: {run.config[name]} -> {OTHER_VALUES[name]}"):
        ganzoo.train(resume=run.path, steps=2, **{name: OTHER_VALUES[name]})


@pytest.mark.parametrize("name", [name for name in STORED if OPTIONS[name].resumable and name in OTHER_VALUES])
def test_a_resumable_option_replaces_the_runs_own(name: str) -> None:
    described = {"architecture": "cgan", "distribution": "d", "dataset": {"name": "digits"}}
    run_config = {**to_run_config(TrainConfig(steps=5)), **described}
    options = resumed_options(run_config, {name: OTHER_VALUES[name]})
    assert options[name] == OTHER_VALUES[name]
    assert {"seed": 0, "precision": "fp32", "dataset": "digits"}.items() <= options.items()
    assert ("steps" in options) == (name == "steps" or name not in LENGTHS)  # a new length replaces the old one


def test_a_run_from_before_an_option_existed_has_its_default() -> None:
    stored = to_run_config(TrainConfig(steps=5, seed=7))
    del stored["cuda_graph"], stored["schedule"]["sample_every"]
    filled = fill_in({**stored, "architecture": "a", "distribution": "d", "dataset": {"name": "x"}})
    assert filled["schedule"]["sample_every"] == TrainConfig().sample_every
    assert options_of(filled)["seed"] == 7
    assert filled["cuda_graph"] is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 1, "epochs": 1}, "Give one of steps, epochs and minutes"),
        ({"best_by": "frechet"}, "best_by=frechet needs evaluate_every"),
        ({"evaluate_every": 1, "best_by": "frechte"}, "Did you mean frechet"),
        ({"lr": 1}, "Unknown setting 'lr'"),
        ({"seed": 1 << 32}, "seed=4294967296 is not valid: expected integer >= 0 and <= 4294967295"),
        ({"cuda_graph": "maybe"}, "cuda_graph=maybe is not valid: expected true or false or none"),
    ],
)
def test_wrong_options_are_refused_before_a_run_exists(
    wrong: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        ganzoo.train("vanilla", dataset="digits", **wrong)
    assert not list(tmp_path.iterdir())


def test_a_directory_may_be_a_path(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", dataset="digits", steps=1, batch_size=16, data_dir=tmp_path, out=tmp_path / "run")
    assert Run.open(run.path).config["data_dir"] == str(tmp_path)

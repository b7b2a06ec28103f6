"""A run packed as a model works by its name wherever a run does, and runs no code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ganzoo
from ganzoo.core import models
from ganzoo.core.errors import CheckpointError, DataError, UsageError
from ganzoo.models import pack
from ganzoo.training.repeat import command, portable_dataset
from tests.conftest import Command, Site
from tests.workbench import Workbench

Install = Callable[[Site], None]
NAME = "tiny-ring"
SETTINGS: dict[str, Any] = {"generator_widths": (16,), "discriminator_widths": (16,)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "run"
    return ganzoo.train("vanilla", dataset="ring", steps=3, out=out, settings=SETTINGS, callbacks=[]).path


@pytest.fixture(scope="module")
def package(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(run, NAME, tmp_path_factory.mktemp("package") / "out", samples=2500)


@pytest.fixture
def model(package: Path, tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model, installed. Importing its package would fail."""
    site = Site(tmp_path / "site")
    module = package / "ganzoo_tiny_ring"
    shutil.copytree(module, site.path / module.name)
    (site.path / module.name / "__init__.py").write_text("raise SystemExit('code of the package was run')\n")
    site.add(f"ganzoo-{NAME}", "", models={NAME: "model"})
    (site.path / "ganzoo_tiny_ring.py").unlink()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    install(site)
    return site.path / module.name / "model"


def test_the_package_is_complete(package: Path, run: Path) -> None:
    files = {path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()}
    step = "ganzoo_tiny_ring/model/checkpoints/step-00000003"
    assert files >= {
        "pyproject.toml", "README.md", "ganzoo_tiny_ring/__init__.py", "ganzoo_tiny_ring/model/config.json",
        "ganzoo_tiny_ring/model/evaluation.json", "ganzoo_tiny_ring/model/samples.png",
        f"{step}/model.safetensors", f"{step}/ema.safetensors", f"{step}/manifest.json",
    }  # fmt: skip
    card = (package / "README.md").read_text()
    assert "ganzoo train vanilla --dataset ring --steps 3 --seed 0" in card
    for part in ("sha256 of the data", "origin and licence", "| real data |", "precision", "versions"):
        assert part in card
    config = json.loads((package / "ganzoo_tiny_ring/model/config.json").read_text())
    assert config["model"] == NAME
    assert not {"platform", "git", "data_dir", "resumes"} & config.keys()
    for path in package.rglob("*"):
        assert not path.is_file() or str(run.parent).encode() not in path.read_bytes()


def test_every_command_takes_its_name(model: Path, ganzoo_cli: Command) -> None:
    before = {path: path.stat().st_mtime_ns for path in model.rglob("*")}
    listed = ganzoo_cli("models")
    assert NAME in listed.out
    assert "vanilla" in listed.out
    assert "How it was made" in ganzoo_cli("models", NAME).out
    for words in (
        ["sample", NAME, "--count", "4", "--out", "points.npz"],
        ["evaluate", NAME, "--samples", "2500", "--metrics", "modes"],
        ["compare", NAME, NAME],
        ["export", NAME, "--to", "pt2"],
    ):
        result = ganzoo_cli(*words)
        assert result.code == 0, result.err
    assert Path(f"{NAME}.pt2").is_file()
    assert {path: path.stat().st_mtime_ns for path in model.rglob("*")} == before, "a package was written to"


def test_it_draws_what_the_run_draws(model: Path, run: Path) -> None:
    torch.testing.assert_close(
        ganzoo.load(NAME).sample(64, seed=1), ganzoo.load(run).sample(64, seed=1), rtol=0, atol=0.02
    )


def test_a_directory_comes_before_a_model(model: Path, run: Path) -> None:
    shutil.copytree(run, NAME)
    assert ganzoo.Run.open(NAME).model is None
    assert ganzoo.Run.open(f"ganzoo-{NAME}:{NAME}").model == NAME


def test_it_cannot_be_resumed(model: Path, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("train", "--resume", NAME)
    assert result.code == 2
    assert "is a model: its weights can be used" in result.err


def test_it_is_not_deleted_as_if_it_were_a_run(model: Path, ganzoo_cli: Command) -> None:
    before = sorted(model.rglob("*"))
    result = ganzoo_cli("runs", "--delete", NAME, "--yes")
    assert (result.code, f"{NAME} is a model, not a run." in result.err) == (2, True)
    assert sorted(model.rglob("*")) == before, "nothing was deleted, and no lock was made"


def test_damaged_weights_are_refused(model: Path) -> None:
    (weights,) = model.glob("checkpoints/*/ema.safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CheckpointError, match="is damaged"):
        ganzoo.load(NAME)


def test_a_model_whose_folder_is_missing_is_shown_as_broken(model: Path, ganzoo_cli: Command) -> None:
    shutil.rmtree(model)
    assert "broken: its folder model is missing" in ganzoo_cli("models").out
    assert "cannot be used: its folder model is missing from ganzoo_tiny_ring." in ganzoo_cli("sample", NAME).err


def test_an_unknown_name_suggests_a_model(model: Path, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("sample", "tiny-rnig")
    assert result.code == 2
    assert f"Did you mean {NAME}?" in result.err
    assert "It is a model." in ganzoo_cli("train", NAME, "--dataset", "ring").err


@pytest.mark.parametrize(
    ("name", "message"), [("Bad Name", "not a valid name"), (NAME, "already installed"), ("../x", "not a valid name")]
)
def test_bad_names_are_refused(model: Path, run: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pack(run, name)


def test_nothing_is_left_of_a_package_that_fails(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["dataset"]["sha256"] = "0" * 64
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError):
        pack(tmp_path / "run", "other", tmp_path / "package")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_best_checkpoint_older_than_every_row_is_packed_without_one(tmp_path: Path) -> None:
    options: dict[str, Any] = {"dataset": "ring", "steps": 2, "evaluate_every": 1, "best_by": "modes", "log_every": 2}
    run = ganzoo.train("vanilla", out=tmp_path / "run", settings=SETTINGS, **options)
    (newest,) = run.best.iterdir()
    shutil.move(newest, run.best / "step-00000001")
    target = pack(run, "early", tmp_path / "package", best=True, metrics=["modes"], samples=2500)
    assert not list(target.rglob("metrics.jsonl"))


def test_the_command_that_installs_a_package_names_a_path(
    run: Path, ganzoo_cli: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = ganzoo_cli("pack", run, "--name", "other", "--metrics", "modes", "--samples", 2500)
    assert "\nInstall  pip install ./ganzoo-other\n" in result.out, result.err


def test_a_refusal_names_the_run_and_not_a_temporary_folder(run: Path, ganzoo_cli: Command, tmp_path: Path) -> None:
    words = ("pack", run, "--name", "other", "--metrics", "modes", "--samples", 3, "--dir", tmp_path / "package")
    result = ganzoo_cli(*words)
    assert (result.code, f"modes does not apply to {run}: it needs" in result.err) == (2, True), result.err


def test_the_command_that_repeats_a_run(run: Path) -> None:
    text = command(ganzoo.Run.open(run).config, 3)
    assert text.endswith("--set generator_widths=16 --set discriminator_widths=16")
    assert portable_dataset("folder:/home/ann/cats") == "folder:cats"
    assert portable_dataset("mosaic:folder:/home/ann/cats") == "mosaic:folder:cats"
    assert portable_dataset("mosaic:mnist") == "mosaic:mnist"


@pytest.mark.slow
def test_a_package_installs_without_a_network_and_samples(package: Path, workbench: Workbench) -> None:
    workbench.run(f"pip install --no-deps {package}")
    workbench.ganzoo(f"ganzoo sample {NAME} --count 10 --seed 0 --out model.png")
    assert (workbench.work / "model.png").stat().st_size


def test_names_of_built_in_models_are_found() -> None:
    for model in models.installed():
        assert model.error is None, model

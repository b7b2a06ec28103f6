"""Recipes: settings of a card for some data, chosen with `--recipe`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ganzoo
from ganzoo.core import registry
from ganzoo.core.errors import UsageError
from ganzoo.plugin import Recipe
from ganzoo.training.callbacks import Callback
from tests.conftest import Command

FEW = Recipe(
    summary="1,442 digits: made up for this test", settings={"generator_widths": (8,), "latent_dim": 5},
    shape=(1, 8, 8), examples=range(2000),
)  # fmt: skip
OPTIONS: dict[str, Any] = {"dataset": "digits", "steps": 1, "batch_size": 4}


@pytest.fixture(autouse=True)
def recipes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(type(registry.get_architecture("vanilla").card), "recipes", {"few": FEW})
    monkeypatch.chdir(tmp_path)


class Notes(Callback):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_note(self, text: str) -> None:
        self.texts.append(text)


def test_settings_given_win_over_the_recipe_and_the_run_records_settings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ganzoo.train("vanilla", recipe="few", latent_dim=7, out=tmp_path / "run", **OPTIONS)
    settings = run.config["settings"]
    assert (settings["generator_widths"], settings["latent_dim"], settings["batch_size"]) == ([8], 7, 4)
    assert "recipe" not in run.config
    again: dict[str, Any] = {**OPTIONS, "recipe": "few", "latent_dim": 7, "steps": 2}
    resumed = ganzoo.train("vanilla", out=run.path, autoresume=True, **again)
    assert resumed.metrics()[-1]["step"] == 2
    monkeypatch.setattr(type(registry.get_architecture("vanilla").card), "recipes", {})  # a later version has none
    resumed = ganzoo.train("vanilla", out=run.path, autoresume=True, **{**again, "steps": 3})
    assert resumed.metrics()[-1]["step"] == 3


def test_what_cannot_be_a_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown recipe 'fwe'\. Known: few"):
        ganzoo.train("vanilla", recipe="fwe", **OPTIONS)
    with pytest.raises(UsageError, match="lsgan has no recipes"):
        ganzoo.train("lsgan", recipe="few", **OPTIONS)
    with pytest.raises(UsageError, match="for a new one"):
        ganzoo.train(recipe="few", resume=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_and_files_take_recipes(ganzoo_cli: Command, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('dataset = "digits"\nrecipe = "few"\n[set]\nlatent_dim = 9\n')
    shown = json.loads(ganzoo_cli("train", "vanilla", "--config", "my.toml", "--dry-run", "--json").out)["settings"]
    assert (shown["generator_widths"], shown["latent_dim"]) == ([8], 9)
    shown = ganzoo_cli("train", "vanilla", "--dataset", "digits", "--recipe", "few", "--dry-run", "--json").out
    assert json.loads(shown)["settings"]["latent_dim"] == 5
    assert "few " in ganzoo_cli("info", "vanilla").out
    assert FEW.summary in " ".join(ganzoo_cli("info", "vanilla").out.split())


@pytest.mark.parametrize(("settings", "noted"), [({}, True), ({"latent_dim": 5}, False)])
def test_a_recipe_for_such_data_is_mentioned_once_nothing_of_it_was_chosen(
    settings: dict[str, int], noted: bool, tmp_path: Path
) -> None:
    notes = Notes()
    ganzoo.train("vanilla", out=tmp_path / "run", callbacks=[notes], settings=settings, **OPTIONS)
    assert any("--recipe few (1,442 digits" in text for text in notes.texts) == noted


def test_a_recipe_fits_data_of_its_shape_and_number() -> None:
    assert FEW.fits((1, 8, 8), 1442)
    assert not FEW.fits((1, 8, 8), 2000)
    assert not FEW.fits((3, 8, 8), 10)
    assert not Recipe(summary="any", settings={}).fits((1, 8, 8), 10)

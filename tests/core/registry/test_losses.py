"""Losses and penalties of other packages: used with every architecture, resumed, and broken in isolation."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ganzoo
from ganzoo.core.errors import PluginError, UsageError
from ganzoo.losses import LOSSES, get_loss, get_penalty
from tests.conftest import Command, Site

GOOD = """
    from ganzoo.losses import Loss, in_terms, logistic_fake, logistic_real, nonsaturating_generator

    def twice(real, real_label=1.0):
        return 2 * logistic_real(real, real_label)

    DOUBLE = Loss(in_terms(twice, logistic_fake), nonsaturating_generator, probability=True)
    NO_LOSS = twice

    def zero(discriminator, real, fake, generator=None):
        return 0 * discriminator(real).sum()
"""


@pytest.fixture
def double(site: Site, install: Callable[[Site], None]) -> Site:
    site.add("ganzoo-double", GOOD, losses={"double": "DOUBLE", "no_loss": "NO_LOSS"}, penalties={"zero": "zero"})
    site.add("stuck", 'raise RuntimeError("stuck")', losses={"stuck": "X"}, penalties={"stuck_penalty": "X"})
    install(site)
    return site


@pytest.mark.parametrize("architecture", ["vanilla", "r3gan"])
def test_a_loss_and_a_penalty_by_name_train_and_resume_exactly(architecture: str, double: Site, tmp_path: Path) -> None:
    settings = {"loss": "double", "penalty": "zero", "batch_size": 8}
    one = ganzoo.train(architecture, dataset="digits", steps=4, settings=settings, out=tmp_path / "one", log_every=1)
    two = ganzoo.train(architecture, dataset="digits", steps=2, settings=settings, out=tmp_path / "two", log_every=1)
    ganzoo.train(resume=two.path, steps=4)
    losses = [[row["discriminator_loss"] for row in run.metrics()] for run in (one, two)]
    assert losses[0] == losses[1]
    config = json.loads((two.path / "config.json").read_text())
    assert (config["settings"]["loss"], config["settings"]["penalty"]) == ("double", "zero")
    assert config["plugins"] == {"loss": "ganzoo-double", "penalty": "ganzoo-double"}
    assert config["versions"]["ganzoo-double"] == "1.0"


def test_a_run_of_built_in_losses_names_no_packages_for_them(tmp_path: Path) -> None:
    run = ganzoo.train("vanilla", dataset="digits", steps=1, out=tmp_path / "run", batch_size=8)
    assert "plugins" not in json.loads((run.path / "config.json").read_text())


def test_the_loss_by_name_is_the_one_that_is_minimised(double: Site, tmp_path: Path) -> None:
    rows = {}
    for loss in ("double", "nonsaturating"):
        run = ganzoo.train("vanilla", dataset="digits", steps=1, out=tmp_path / loss, log_every=1, loss=loss)
        rows[loss] = run.metrics()[0]["discriminator_loss"]
    assert rows["double"] > 1.2 * rows["nonsaturating"]


def test_a_run_whose_loss_was_uninstalled_says_what_to_install(site: Site) -> None:
    site.add("ganzoo-double", GOOD, losses={"double": "DOUBLE"})
    words = ("train", "vanilla", "--dataset", "digits", "--steps", "2", "--set", "loss=double", "--out", "run")
    trained = site.fork(*words)
    assert trained.code == 0, trained.err
    assert site.fork("sample", "run", "--count", "4").code == 0
    shutil.rmtree(site.path / "ganzoo_double-1.0.dist-info")
    for command in (("sample", "run"), ("train", "--resume", "run", "--steps", "3")):
        result = site.fork(*command)
        assert result.code == 1
        assert "the loss 'double' of the package 'ganzoo-double', which is not installed" in result.err
        assert "pip install ganzoo-double" in result.err


def test_names_of_other_packages_are_offered_where_settings_are(double: Site, ganzoo_cli: Command) -> None:
    shown = ganzoo_cli("info", "vanilla").out
    assert re.search(r"^loss .*one of double, energy, hinge, .*wasserstein", shown, re.MULTILINE)
    assert re.search(
        r"^penalty .*one of none, clip, bcr, cr, dragan, gradient, r1, .*stuck_penalty, zero", shown, re.MULTILINE
    )


def test_an_unknown_loss_is_wrong_usage_with_a_hint(double: Site, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("train", "vanilla", "--dataset", "digits", "--set", "loss=duble")
    assert result.code == 2
    assert result.err == "Error: loss=duble is not valid: no loss is called 'duble'. Did you mean double?\n"
    with pytest.raises(UsageError, match=r"No penalty is called 'gradeint'. Did you mean gradient\?"):
        get_penalty("gradeint")


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("loss=stuck", "The loss 'stuck' from stuck 1.0 cannot be used: RuntimeError: stuck"),
        ("loss=no_loss", "it must be a ganzoo.losses.Loss, but is a function"),
        ("penalty=stuck_penalty", "The penalty 'stuck_penalty' from stuck 1.0 cannot be used: RuntimeError: stuck"),
    ],
)
def test_a_broken_one_is_refused_before_anything_is_written(
    setting: str, reason: str, double: Site, ganzoo_cli: Command, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = ganzoo_cli("train", "vanilla", "--dataset", "digits", "--set", setting, "--out", out)
    assert result.code == 1
    assert reason in result.err
    assert not out.exists()
    assert get_loss("hinge") is LOSSES["hinge"]


def test_a_loss_by_name_imports_no_other_package(double: Site) -> None:
    assert get_loss("double").probability
    assert "stuck" not in sys.modules
    assert get_penalty("none") is get_penalty("clip") is None


def test_the_built_in_keeps_its_name_and_the_qualified_name_reaches_the_other(
    site: Site, install: Callable[[Site], None], ganzoo_cli: Command, tmp_path: Path
) -> None:
    site.add("thief", GOOD, losses={"hinge": "DOUBLE"})
    site.add("rival-a", GOOD, losses={"contested": "DOUBLE"})
    site.add("rival-b", GOOD, losses={"contested": "DOUBLE"})
    install(site)
    assert get_loss("hinge") is get_loss("ganzoo-core:hinge") is LOSSES["hinge"]
    assert get_loss("thief:hinge") is not LOSSES["hinge"]
    with pytest.raises(PluginError, match=r"also claimed by rival-b 1\.0; use it as rival-a:contested"):
        get_loss("contested")
    shown = ganzoo_cli("info", "vanilla", "--set", "loss=ganzoo:hinge").out
    assert re.search(r"^loss +hinge +one of rival-a:contested, rival-b:contested, .*hinge, thief:hinge, ", shown, re.M)
    run = ganzoo.train("vanilla", dataset="digits", steps=1, out=tmp_path / "run", loss="thief:hinge")
    assert run.config["settings"]["loss"] == "thief:hinge"
    assert run.config["plugins"] == {"loss": "thief"}

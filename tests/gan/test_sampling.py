"""Sampling settings: declared on the card, chosen when sampling, checked, stored, listed and completed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo.core.errors import UsageError
from tests.conftest import Command, Site

CODE = """
    from dataclasses import dataclass
    from ganzoo.config import setting
    from ganzoo.plugin import Sampling
    from ganzoo_plugins.vanilla import Vanilla

    @dataclass(frozen=True, kw_only=True)
    class Truncated(Sampling):
        truncation: float = setting(1.0, "factor of the noise", ge=0, le=1)

    class Mine(Vanilla):
        api_version = 2
        Sampling = Truncated

        def build(self, config, spec):
            from ganzoo.gan import GAN

            class TruncatedGAN(GAN):
                def generate(self, z, condition=None):
                    return super().generate(z if self.sampling is None else z * self.sampling.truncation, condition)

            gan = super().build(config, spec)
            return TruncatedGAN(gan.generator, gan.discriminator, config, spec)

    class Plain:
        truncation: float = 1.0

    class Wrong(Mine):
        Sampling = Plain

    class Undeclared(Mine):
        class Sampling(Sampling):
            truncation: float = 1.0
"""


@pytest.fixture
def run(site: Site, install: Callable[[Site], None], tmp_path: Path) -> Path:
    site.add("ganzoo-mine", CODE, {"mine": "Mine", "wrong": "Wrong", "undeclared": "Undeclared"})
    install(site)
    options = {"batch_size": 8, "generator_widths": (8,), "discriminator_widths": (8,)}
    return ganzoo.train("mine", dataset="digits", steps=2, out=tmp_path / "run", **options).path


def test_from_python(run: Path) -> None:
    gan = ganzoo.load(run)
    full, same, none = (
        gan.sample(8, seed=0, sampling=chosen) for chosen in (None, {"truncation": 1}, {"truncation": "0"})
    )
    assert torch.equal(full, same)
    assert not torch.equal(full[0], full[1])
    assert torch.equal(none[0], none[1])
    assert gan.sampling is None
    with pytest.raises(UsageError, match=r"Unknown setting 'truncaton'. Did you mean truncation\?"):
        gan.sample(1, sampling={"truncaton": 0.5})
    with pytest.raises(UsageError, match="truncation=2 is not valid: expected number >= 0 and <= 1"):
        gan.sample(1, sampling={"truncation": 2})


def test_from_the_command_line(run: Path, tmp_path: Path, ganzoo_cli: Command) -> None:
    arrays, picture = tmp_path / "samples.npz", tmp_path / "samples.png"
    for out in (arrays, picture):
        result = ganzoo_cli("sample", run, "--count", 2, "--seed", 3, "--set", "truncation=0", "--out", out)
        assert f"written to {out} (seed 3, truncation=0.0)" in result.out
    content = np.load(arrays, allow_pickle=False)
    assert str(content["sampling"]) == Image.open(picture).info["sampling"] == "truncation=0.0"
    assert np.array_equal(*content["images"])
    assert ganzoo_cli("sample", run, "--count", 2, "--seed", 3, "--out", arrays, "--overwrite").code == 0
    assert str(np.load(arrays)["sampling"]) == "truncation=1.0"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("trunction=0.5", "Unknown setting 'trunction'. Did you mean truncation?"),
        ("truncation=high", "truncation=high is not valid: expected number >= 0 and <= 1."),
        ("truncation", "--set 'truncation' is not valid: expected KEY=VALUE."),
    ],
)
def test_wrong_usage_writes_nothing(setting: str, message: str, run: Path, tmp_path: Path, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("sample", run, "--set", setting, "--out", tmp_path / "out.png")
    assert (result.code, message in result.err) == (2, True), result.err
    assert not (tmp_path / "out.png").exists()


def test_an_architecture_without_any_says_so() -> None:
    from tests.sessions import session

    with pytest.raises(UsageError, match="Unknown setting 'truncation': this GAN has no sampling settings"):
        session("vanilla").build().sample(1, sampling={"truncation": 0.5})


def test_they_are_listed_and_a_wrong_declaration_is_refused(run: Path, ganzoo_cli: Command) -> None:
    shown = ganzoo_cli("info", "mine").out
    assert "truncation        1.0      number  factor of the noise" in shown
    assert "sampling setting" not in ganzoo_cli("info", "vanilla").out
    for name, reason in (
        ("wrong", "its Sampling must be a subclass of ganzoo.plugin.Sampling"),
        ("undeclared", "its Sampling does not turn truncation into a setting: write @dataclass"),
    ):
        result = ganzoo_cli("info", name)
        assert (result.code, reason in result.err) == (1, True), result.err

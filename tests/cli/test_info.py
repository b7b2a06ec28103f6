from __future__ import annotations

import re

import pytest
import torch

from ganzoo.core import registry
from ganzoo.core.config import format_value, make, settings
from ganzoo.core.spec import DataSpec
from tests.conftest import Command

NAMES = [entry.name for entry in registry.architectures() if entry.error is None]


def parameters(name: str, spec: DataSpec, **overrides: object) -> dict[str, int]:
    card = registry.get_architecture(name).card
    with torch.device("meta"):
        gan = card.build(make(card.Config, overrides), spec)
    return {
        part: sum(p.numel() for p in network.parameters())
        for part, network in (("generator", gan.generator), ("discriminator", gan.discriminator))
    }


@pytest.mark.parametrize("name", NAMES)
def test_info_shows_paper_origin_settings_and_networks(name: str, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("info", name)
    assert (result.code, result.err) == (0, "")
    entry = registry.get_architecture(name)
    assert result.out.startswith(f"{name}: {entry.card.summary}\n{entry.card.paper}\n")
    assert f"from {entry.distribution} {entry.version} ({entry.target})" in result.out
    config = make(entry.card.Config, {})
    for s in settings(entry.card.Config):
        cells = s.name, format_value(getattr(config, s.name)), s.type_name, s.help
        row = "^" + " +".join(map(re.escape, cells))
        assert re.search(row, result.out, re.MULTILINE), s.name
    images = DataSpec(1, 28, 10 if entry.card.conditional else 0, 1 if entry.card.paired else 0)
    spec = entry.card.example(config) or images
    assert f"parameters for {spec.target}" in result.out
    for part, count in parameters(name, spec).items():
        assert re.search(rf"^{part} +{count:,} *$", result.out, re.MULTILINE)
    assert ("needs data with labels" in result.out) is entry.card.conditional


def test_info_says_what_an_architecture_is_made_of_and_meant_for(ganzoo_cli: Command) -> None:
    out = ganzoo_cli("info", "projection", "--set", "penalty=r1", "--set", "penalty_interval=4").out
    assert (
        "made of: dcgan backbone, hinge loss, r1 penalty in one of 4 steps, spectral norm in the discriminator" in out
    )
    assert "meant for: images with labels; 10,000 steps, which see 640,000 real examples" in out


def test_info_counts_parameters_for_the_given_images(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("info", "cgan", "--image-size", "32", "--channels", "3", "--classes", "100", "--set", "width=8")
    for part, count in parameters("cgan", DataSpec(3, 32, 100), width=8).items():
        assert re.search(rf"^{part} +{count:,} *$", result.out, re.MULTILINE)
    assert "3x32x32" in result.out
    assert re.search(r"^width +8 ", result.out, re.MULTILINE)


def test_info_counts_parameters_for_the_image_size_setting(ganzoo_cli: Command) -> None:
    result = ganzoo_cli("info", "dcgan", "--set", "image_size=64")
    assert "1x64x64" in result.out
    (count, _) = parameters("dcgan", DataSpec(1, 64)).values()
    assert f"{count:,}" in result.out


def test_info_shows_the_defaults_that_a_choice_changes(ganzoo_cli: Command) -> None:
    assert (
        "penalty=gradient changes the defaults to optimizer=adam, generator_lr=0.0001" in ganzoo_cli("info", "wgan").out
    )
    output = ganzoo_cli("info", "wgan", "--set", "penalty=gradient").out
    assert re.search(r"^optimizer +adam ", output, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "width"), "expected KEY=VALUE"),
        (("--set", "=3"), "expected KEY=VALUE"),
        (("--set", "widht=3"), "Unknown setting 'widht'. Did you mean width?"),
        (("--set", "width=wide"), "width=wide is not valid: expected integer >= 1"),
        (("--set", "loss=hnge"), "no loss is called 'hnge'. Did you mean hinge?"),
        (("--set", "penalty=gradient", "--set", "discriminator_norm=batch"), "batch norm in the discriminator"),
        (("--set", "loss=wasserstein"), "Choose penalty=gradient, clip, r1 or r1r2"),
        (("--image-size", "29"), "image_size=28 or 32"),
        (("--image-size", "0"), "--image-size"),
        (("--channels", "0"), "--channels"),
        (("--classes", "none"), "--classes"),
    ],
)
def test_wrong_arguments_are_refused(arguments: tuple[str, ...], message: str, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("info", "dcgan", *arguments)
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err

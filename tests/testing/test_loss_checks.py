"""The checks of a loss: the built-in ones pass, and each mistake fails the check that looks for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ganzoo.core import registry
from ganzoo.core.entry_points import LOSSES
from tests.conftest import Command, Site

BAD = """
    import torch
    from ganzoo.losses import Loss, in_terms, wasserstein_fake, wasserstein_real

    wasserstein = in_terms(wasserstein_real, wasserstein_fake)
    NO_MEAN = Loss(wasserstein, lambda fake: -fake)
    OVERFLOWS = Loss(wasserstein, lambda fake: torch.exp(-fake).mean())
    SWAPPED = Loss(wasserstein, lambda fake: fake.mean())
"""


@pytest.mark.parametrize("name", registry.names(LOSSES))
def test_the_built_in_losses_pass(name: str, ganzoo_cli: Command) -> None:
    result = ganzoo_cli("check", "--loss", name)
    assert result.code == 0, result.out
    assert "All 3 checks passed." in result.out


@pytest.mark.parametrize(
    ("name", "check", "problem"),
    [
        ("no_mean", "scalar", "the generator's loss is [8], expected a scalar"),
        ("overflows", "finite", "the generator's value is not finite"),
        ("swapped", "directions", "the generator's loss does not fall as logits of generated images rise"),
    ],
)
def test_a_mistake_is_named(
    name: str, check: str, problem: str, site: Site, install: Callable[[Site], None], ganzoo_cli: Command
) -> None:
    site.add("bad-losses", BAD, losses={name: name.upper()})
    install(site)
    result = ganzoo_cli("check", "--loss", name)
    assert result.code == 1
    assert any(line.split()[:2] == ["failed", check] and problem in line for line in result.out.splitlines())


def test_other_words_beside_it_are_refused(ganzoo_cli: Command) -> None:
    assert ganzoo_cli("check", "cgan", "--loss", "hinge").code == 2
    assert "Did you mean hinge?" in ganzoo_cli("check", "--loss", "hnge").err

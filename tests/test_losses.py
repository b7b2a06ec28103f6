from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ganzoo import losses
from ganzoo.core import registry
from ganzoo.core.entry_points import LOSSES as GROUP
from ganzoo.losses import LOSSES

MODERATE = st.lists(st.floats(-8, 8), min_size=1, max_size=6).map(lambda x: torch.tensor(x, dtype=torch.float64))
LABELS = st.floats(0.05, 1)


def naive_log_loss(real: Tensor, fake: Tensor, label: float) -> Tensor:
    on_real = -(label * real.sigmoid().log() + (1 - label) * (1 - real.sigmoid()).log())
    return on_real.mean() - (1 - fake.sigmoid()).log().mean()


NAIVE: dict[str, tuple[Callable[[Tensor, Tensor, float], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "nonsaturating": (naive_log_loss, lambda real, fake: -fake.sigmoid().log().mean()),
    "minimax": (naive_log_loss, lambda real, fake: (1 - fake.sigmoid()).log().mean()),
    "least_squares": (
        lambda real, fake, label: (((real - label) ** 2).mean() + (fake**2).mean()) / 2,
        lambda real, fake: ((fake - 1) ** 2).mean() / 2,
    ),
    "wasserstein": (lambda real, fake, label: -(real.mean() - fake.mean()), lambda real, fake: -fake.mean()),
    "hinge": (
        lambda real, fake, label: (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean(),
        lambda real, fake: -fake.mean(),
    ),
    "relativistic": (
        lambda real, fake, label: -(real - fake).sigmoid().log().mean(),
        lambda real, fake: -(fake - real).sigmoid().log().mean(),
    ),
    "relativistic_average": (
        lambda real, fake, label: naive_log_loss(real - fake.mean(), fake - real.mean(), 1.0),
        lambda real, fake: naive_log_loss(fake - real.mean(), real - fake.mean(), 1.0),
    ),
    "energy": (
        lambda real, fake, label: -real.mean() + (1 + fake).clamp(min=0).mean(),
        lambda real, fake: -fake.mean(),
    ),
}


def generator_loss(name: str, real: Tensor, fake: Tensor) -> Tensor:
    loss = LOSSES[name]
    return loss.generator(real, fake) if loss.relativistic else loss.generator(fake)


def test_every_loss_a_setting_can_name_exists() -> None:
    assert set(LOSSES) == set(registry.names(GROUP)) == set(NAIVE)


@pytest.mark.parametrize("name", LOSSES)
@given(real=MODERATE, fake=MODERATE, label=LABELS)
def test_losses_equal_their_formulas(name: str, real: Tensor, fake: Tensor, label: float) -> None:
    discriminator, generator = NAIVE[name]
    pairs = min(len(real), len(fake))
    real, fake = real[:pairs], fake[:pairs]
    torch.testing.assert_close(
        LOSSES[name].discriminator(real, fake, label), discriminator(real, fake, label), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(generator_loss(name, real, fake), generator(real, fake), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("real_label", [1.0, 0.9])
@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_gradients_are_finite_at_extreme_logits(name: str, real_label: float) -> None:
    real = torch.tensor([-1e4, 1e4, 0.0], requires_grad=True)
    fake = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    for loss in (LOSSES[name].discriminator(real, fake, real_label), generator_loss(name, real, fake)):
        assert loss.shape == ()
        assert loss.isfinite()
        loss.backward()
    assert real.grad is not None
    assert fake.grad is not None
    assert real.grad.isfinite().all()
    assert fake.grad.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_each_side_pulls_the_logits_its_own_way(name: str) -> None:
    real = torch.zeros(3, requires_grad=True)
    fake = torch.zeros(3, requires_grad=True)
    on_real, on_fake = torch.autograd.grad(LOSSES[name].discriminator(real, fake, 1.0), (real, fake))
    assert (on_real < 0).all()
    assert (on_fake >= 0).all()
    (by_generator,) = torch.autograd.grad(generator_loss(name, real, fake), fake)
    assert (by_generator < 0).all()


@pytest.mark.parametrize("name", ["nonsaturating", "minimax", "least_squares"])
def test_smoothing_moves_the_target_of_real_images_only(name: str) -> None:
    best = 0.9 if name == "least_squares" else torch.logit(torch.tensor(0.9)).item()
    real = torch.full((2,), best, requires_grad=True)
    fake = torch.tensor([0.3, -2.0], requires_grad=True)
    on_real, smoothed = torch.autograd.grad(LOSSES[name].discriminator(real, fake, 0.9), (real, fake))
    torch.testing.assert_close(on_real, torch.zeros(2))
    (plain,) = torch.autograd.grad(LOSSES[name].discriminator(real, fake, 1.0), fake)
    torch.testing.assert_close(smoothed, plain)


def test_nonsaturating_keeps_the_gradient_that_minimax_loses() -> None:
    fake = torch.tensor([-20.0], requires_grad=True)
    (minimax,) = torch.autograd.grad(losses.minimax_generator(fake), fake)
    (nonsaturating,) = torch.autograd.grad(losses.nonsaturating_generator(fake), fake)
    assert -1e-6 < minimax.item() < 0
    assert nonsaturating.item() == pytest.approx(-1, abs=1e-6)


def test_minimax_and_nonsaturating_agree_where_the_discriminator_knows_nothing() -> None:
    fake = torch.zeros(4, requires_grad=True)
    (minimax,) = torch.autograd.grad(losses.minimax_generator(fake), fake)
    (nonsaturating,) = torch.autograd.grad(losses.nonsaturating_generator(fake), fake)
    torch.testing.assert_close(minimax, nonsaturating)


def test_the_relativistic_loss_compares_a_real_with_its_fake_alone() -> None:
    real, fake = torch.randn(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
    loss = LOSSES["relativistic"]
    torch.testing.assert_close(loss.discriminator(real + 3, fake + 3, 1.0), loss.discriminator(real, fake, 1.0))
    torch.testing.assert_close(loss.generator(real, fake), loss.discriminator(fake, real, 1.0))
    assert not torch.isclose(loss.discriminator(real, fake.flip(0), 1.0), loss.discriminator(real, fake, 1.0))

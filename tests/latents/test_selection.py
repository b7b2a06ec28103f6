from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ganzoo import latents
from ganzoo.core.errors import GanzooError
from ganzoo.core.registry import get_architecture
from ganzoo.core.spec import DataSpec
from ganzoo.gan import GAN
from ganzoo.latents.selection import logistic_regression
from ganzoo.testing.fixtures import ArchitectureFixture
from tests.latents.conftest import Build

MEAN = torch.tensor([1.0, 0.0])


class Same(nn.Module):
    """A generator whose points are its noise, N(0, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return z * self.scale


class Linear(nn.Linear):
    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return super().forward(x).squeeze(1)


@pytest.fixture
def gan() -> GAN:
    """Generates N(0, 1); with data from N((1, 0), 1) the log of the density ratio is x - 1/2."""
    usual = ArchitectureFixture(get_architecture("vanilla").card, {}).build(DataSpec(2, 0), batch_size=200)
    return GAN(Same(), Linear(2, 1), usual.config, DataSpec(2, 0)).eval()


def exact(x: Tensor, condition: Any) -> Tensor:
    return x @ MEAN - 0.5


def data(count: int, seed: int) -> Tensor:
    return torch.randn(count, 2, generator=torch.Generator().manual_seed(seed)) + MEAN


def test_the_calibrated_discriminator_is_the_log_density_ratio(gan: GAN) -> None:
    before = {name: value.clone() for name, value in gan.state_dict().items()}
    calibrated = latents.calibrate(gan, data(5000, 0), None, data(4000, 1), None, steps=300)
    x = data(100, 2)
    assert (calibrated(x, None) - exact(x, None)).abs().mean() < 0.15
    assert abs(calibrated.z) < 3
    assert all(torch.equal(before[name], value) for name, value in gan.state_dict().items())
    again = latents.calibrate(gan, data(5000, 0), None, data(4000, 1), None, steps=300)
    assert again.slope == calibrated.slope


def test_metropolis_hastings_draws_from_the_data(gan: GAN) -> None:
    chosen = latents.metropolis_hastings(gan, exact, data(3000, 3), None, 3000, steps=40)
    points = latents.render(gan, chosen.latents)
    assert torch.allclose(points.mean(0), MEAN, atol=0.08)
    assert torch.allclose(points.std(0), torch.ones(2), atol=0.08)
    assert chosen.drawn >= 3000 * 40


def test_a_chain_that_never_leaves_the_real_data_ends_at_a_sample(gan: GAN) -> None:
    chosen = latents.metropolis_hastings(
        gan, lambda x, _: -1e4 * x.square().sum(1), torch.zeros(50, 2), None, 20, steps=30
    )
    points = latents.render(gan, chosen.latents)
    assert (points != 0).any(1).all()
    assert points.norm(dim=1).mean() < 0.5  # the second chain, from a sample, went to the mode


def test_rejection_draws_from_the_data_if_gamma_is_low(gan: GAN) -> None:
    everything = latents.rejection(gan, exact, 3000, quantile=0.999)
    points = latents.render(gan, everything.latents)
    assert torch.allclose(points.mean(0), MEAN, atol=0.1)
    some = latents.rejection(gan, exact, 1000, quantile=0.5)
    assert 0.3 < 1000 / some.drawn < 0.7
    assert latents.render(gan, some.latents)[:, 0].mean() > 0.2
    assert torch.equal(latents.rejection(gan, exact, 1000, quantile=0.5).latents.z, some.latents.z)


def test_rejection_keeps_every_second_sample_at_the_quantile(gan: GAN) -> None:
    chosen = latents.rejection(gan, lambda x, _: 5.0 * (x[:, 0] > 0), 1000, quantile=0.8)
    assert (latents.render(gan, chosen.latents)[:, 0] > 0).all()
    assert 0.2 < 1000 / chosen.drawn < 0.3  # half of the samples reach the quantile


def test_rejection_gives_up_if_nothing_is_accepted(gan: GAN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganzoo.latents.selection.MAX_ROUNDS", 2)
    with pytest.raises(GanzooError, match="Lower the quantile"):
        latents.rejection(gan, lambda x, _: 1e6 * x[:, 0], 100, quantile=1.0)


def test_the_best_are_the_best_and_of_the_classes_asked_for(gan: GAN, build: Build) -> None:
    chosen = latents.best(gan, exact, 100, of=10)
    assert latents.render(gan, chosen.latents)[:, 0].min() > 0.9  # the upper tenth of N(0, 1) is above 1.28
    cgan = build("cgan")
    labels = [3, 8, 8, 3, 5]
    points = latents.best(cgan, latents.own_score(cgan), 5, labels).latents
    assert points.condition is not None
    assert points.condition.argmax(1).tolist() == labels


@pytest.mark.parametrize("name", ["cgan", "infogan", "wgan"])
def test_methods_on_images(name: str, build: Build) -> None:
    gan = build(name)
    rng = torch.Generator().manual_seed(0)
    real = torch.randint(0, 256, (300, *gan.spec.shape), generator=rng).to(torch.uint8)
    labels = torch.arange(300) % 10 if gan.spec.classes else None
    calibrated = latents.calibrate(gan, real, labels, real, labels, steps=2)
    for chosen in (
        latents.rejection(gan, calibrated, 6, quantile=0.2),
        latents.metropolis_hastings(gan, calibrated, real, labels, 6, steps=2),
    ):
        assert latents.render(gan, chosen.latents).shape == (6, *gan.spec.shape)
        assert chosen.latents.condition is None or chosen.latents.condition[:, :10].argmax(1).tolist() == list(range(6))


def test_logistic_regression() -> None:
    rng = torch.Generator().manual_seed(0)
    scores = 5 * torch.randn(20000, generator=rng, dtype=torch.float64) + 100
    real = torch.rand(20000, generator=rng, dtype=torch.float64) < (0.4 * scores - 40.5).sigmoid()
    slope, offset = logistic_regression(scores[real], scores[~real])
    assert slope == pytest.approx(0.4, rel=0.05)
    assert offset == pytest.approx(-40.5, rel=0.05)
    slope, _ = logistic_regression(torch.tensor([1.0, 2.0]), torch.tensor([-1.0, -2.0]))
    assert 0 < slope < 1000

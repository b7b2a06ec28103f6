"""What the papers of EBGAN, BEGAN and BigGAN state."""

from __future__ import annotations

import pytest
import torch

from ganzoo.core.spec import DataSpec
from ganzoo.gan.sampling import evaluating, standing_statistics
from ganzoo.losses import pull_away
from tests.test_architectures import CARDS, build


def test_pull_away_is_the_mean_squared_cosine_of_pairs() -> None:
    assert pull_away(torch.eye(3)).item() == pytest.approx(0)
    assert pull_away(torch.tensor([[1.0, 0], [-2.0, 0]])).item() == pytest.approx(1)
    assert pull_away(torch.tensor([[1.0, 0], [1.0, 1.0]])).item() == pytest.approx(0.5)
    assert pull_away(torch.tensor([[3.0, 4.0]])).item() == pytest.approx(0, abs=1e-6)  # no pair


def test_the_energy_is_the_reconstruction_error() -> None:
    images = torch.rand(3, 1, 16, 16)
    for name, power, unit in (("ebgan", 2, 0.2), ("began", 1, 1.0)):
        network = build(name, DataSpec(1, 16)).eval().discriminator
        errors = (network.decoder(network.encoder(images)) - images).abs().pow(power).flatten(1).mean(1)
        torch.testing.assert_close(network(images), -errors / unit)


def test_began_weighs_generated_images_by_k() -> None:
    gan = build("began", DataSpec(1, 16), diversity=0.5)
    gan.k.fill_(0.25)
    value, logs = gan.discriminator_objective(torch.tensor([-2.0]), torch.tensor([-3.0]))
    assert value.item() == pytest.approx(2 - 0.25 * 3)
    assert logs["convergence"].item() == pytest.approx(2 + abs(0.5 * 2 - 3))
    z = gan.latent(1000)
    assert -1 <= z.min() < -0.98 < 0.98 < z.max() <= 1


def test_biggan_truncates_noise_when_it_samples() -> None:
    gan = build("biggan", DataSpec(3, 16, 4))
    assert gan.latent(4000).abs().max() > 1
    from ganzoo_plugins.biggan import BigGANSampling

    gan.sampling = BigGANSampling(truncation=0.5)
    z = gan.latent(4000)
    assert 0.49 < z.abs().max() <= 0.5
    assert z.mean().abs() < 0.02
    assert z.std().item() == pytest.approx(0.283, abs=0.01)  # of a normal distribution between -0.5 and 0.5


def test_every_part_of_biggans_noise_matters() -> None:
    gan = build("biggan", DataSpec(3, 16, 4), latent_dim=10).eval()
    torch.manual_seed(0)
    for norm in gan.generator.blocks.modules():
        if hasattr(norm, "gain"):
            torch.nn.init.normal_(norm.gain.weight)
    z, labels = torch.randn(1, 10).expand(10, 10).clone(), torch.zeros(10, dtype=torch.long)
    images = gan.generate(z, labels)
    changed = gan.generate(z + torch.eye(10), labels)
    assert gan.generator.parts == [4, 3, 3]
    assert ((changed - images).flatten(1).abs().max(1).values > 0).all()


@pytest.mark.parametrize("name", ["biggan", "sagan"])
def test_standing_statistics_are_means_over_batches_and_leave_nothing_behind(name: str) -> None:
    gan = build(name, DataSpec(3, 16, 4), batch_size=8)
    gan.sampling_type = CARDS[name].Sampling
    before = {key: value.clone() for key, value in gan.state_dict().items()}
    usual, standing, again = (gan.sample(4, seed=1, sampling={"standing": n}) for n in (0, 3, 3))
    assert torch.equal(standing, again)
    assert not torch.equal(usual, standing)
    assert all(torch.equal(value, before[key]) for key, value in gan.state_dict().items())
    norms = [m for m in gan.generator.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {(norm.momentum, norm.training) for norm in norms} == {(0.1, True)}


def test_standing_statistics_are_those_of_the_generated_batches() -> None:
    gan = build("sagan", DataSpec(3, 16, 4), batch_size=8)
    norm = gan.generator.norm
    with evaluating(gan.generator), standing_statistics(gan, 3, 8, torch.Generator().manual_seed(0)):
        assert norm.num_batches_tracked == 3
        mean = norm.running_mean.clone()
        assert not norm.training
    with evaluating(gan.generator), standing_statistics(gan, 1, 8, torch.Generator().manual_seed(0)):
        assert not torch.equal(norm.running_mean, mean)
    assert norm.num_batches_tracked == 0

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.nn import ConditionalBatchNorm, spectrally_normalise
from tests.test_architectures import build


def matrices(network: nn.Module) -> list[Tensor]:
    """Every weight as a matrix [outputs, the rest], but the scales and shifts of conditional batch norm."""
    scales = {module.embed for module in network.modules() if isinstance(module, ConditionalBatchNorm)}
    result = []
    for module in network.modules():
        if isinstance(module, nn.ConvTranspose2d):
            result.append(module.weight.transpose(0, 1).flatten(1))
        elif isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)) and module not in scales:
            result.append(module.weight.flatten(1))
    return result


@pytest.mark.parametrize("name", ["projection", "dcgan", "sagan"])
def test_every_weight_has_norm_1_after_some_passes(name: str) -> None:
    gan = build(name, DataSpec(1, 16, 10), spectral_norm="both")
    labels = torch.arange(4)
    with torch.no_grad():
        for _ in range(60):  # one power iteration each
            gan.discriminator(gan.generate(gan.latent(4), labels), labels)
    for network in (gan.generator, gan.discriminator):
        assert len(matrices(network)) >= 3
        for matrix in matrices(network):
            assert torch.linalg.matrix_norm(matrix, ord=2).item() == pytest.approx(1, abs=0.03)


def test_the_scales_of_conditional_batch_norm_stay() -> None:
    network = nn.Sequential(nn.Conv2d(2, 4, 1), ConditionalBatchNorm(4, 3))
    spectrally_normalise(network)
    assert [name for name in network.state_dict() if name.endswith("original")] == [
        "0.parametrizations.weight.original"
    ]


def test_batch_norm_in_a_normalised_discriminator_is_refused() -> None:
    with pytest.raises(UsageError, match=r"spectral_norm=both with batch norm .* Choose discriminator_norm=none"):
        build("dcgan", DataSpec(1, 16), spectral_norm="both", discriminator_norm="batch")


def test_it_is_a_setting_of_every_architecture() -> None:
    gan = build("vanilla", DataSpec(1, 8), spectral_norm="discriminator")
    assert any("parametrizations" in name for name in gan.discriminator.state_dict())
    assert not any("parametrizations" in name for name in gan.generator.state_dict())

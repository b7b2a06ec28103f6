"""The peers' networks compute the same as ganzoo's without its code; the timed networks are those of `dcgan`."""

from __future__ import annotations

import pytest
import torch
from ganzoo_benchmarks.networks import FUSED, Discriminator, Generator, folded, plain, seeded
from torch import nn

from ganzoo.core import registry
from ganzoo.core.spec import DataSpec
from ganzoo.gan import build
from ganzoo.nn import ConvBNLeakyReLU, ConvHead, ConvTransposeBNReLU, ConvTransposeTanh
from ganzoo.ops import use_backend


@pytest.mark.parametrize(
    "make", [Generator, Discriminator, lambda: ConvTransposeBNReLU(8, 4), lambda: ConvBNLeakyReLU(4, 8)]
)
def test_plain_and_folded_compute_the_same(make: type[nn.Module]) -> None:
    (network,) = seeded(make)
    network.eval()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        x = (
            torch.randn(2, 100)
            if isinstance(network, Generator)
            else torch.randn(
                2, network[0][0].in_channels if isinstance(network, Discriminator) else network[0].in_channels, 64, 64
            )
        )  # type: ignore[index]
    with torch.no_grad(), use_backend("reference"):
        expected = network(x)
        torch.testing.assert_close(plain(network)(x), expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(folded(network)(x), expected, rtol=1e-4, atol=1e-5)


def test_plain_has_stock_modules_only_and_folded_has_no_batch_norm() -> None:
    (network,) = seeded(lambda: nn.Sequential(Generator(), Discriminator()))
    for ours in (FUSED, ConvTransposeTanh, ConvHead):
        assert any(isinstance(module, ours) for module in network.modules())
        assert not any(isinstance(module, ours) for module in plain(network).modules())
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded(network).modules())
    assert any(isinstance(module, FUSED) for module in network.modules())


def test_seeded_repeats_and_leaves_the_global_state_alone() -> None:
    before = torch.get_rng_state()
    (one,), (two,) = seeded(Generator), seeded(Generator)
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name])


def test_the_timed_networks_are_those_of_dcgan() -> None:
    entry = registry.get_architecture("dcgan")
    gan = build(entry, entry.card.Config(), DataSpec(3, 64))
    for ours, zoo in ((Generator(), gan.generator), (Discriminator(), gan.discriminator)):
        assert [tuple(p.shape) for p in ours.parameters()] == [tuple(p.shape) for p in zoo.parameters()]
        fused = (*FUSED, ConvTransposeTanh, ConvHead)
        kinds = [[type(m) for m in network.modules() if isinstance(m, fused)] for network in (ours, zoo)]
        assert kinds[0] == kinds[1]

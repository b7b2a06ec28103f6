from __future__ import annotations

import pytest
import torch
from torch import nn

from ganzoo.nn import initialise, scaled_normal


def test_initialise_sets_every_kind_of_layer() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(8, 64, 4), nn.ConvTranspose2d(8, 64, 4), nn.Linear(64, 64), nn.Embedding(64, 64), nn.BatchNorm1d(4096)
    )
    nn.init.ones_(network[0].bias)  # type: ignore[arg-type]
    initialise(network)
    for layer in network[:4]:
        assert layer.weight.mean().abs() < 0.002
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert network[4].weight.mean().item() == pytest.approx(1, abs=0.002)  # type: ignore[union-attr, operator]
    assert network[4].weight.std().item() == pytest.approx(0.02, rel=0.05)  # type: ignore[union-attr, operator]
    assert all((layer.bias == 0).all() for layer in network if getattr(layer, "bias", None) is not None)


@pytest.mark.parametrize("groups", [1, 4])
def test_scaled_normal_preserves_variance_times_the_squared_gain(groups: int) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 64, 3, groups=groups)
    scaled_normal(layer, gain=3.0)
    assert (layer.bias == 0).all()
    assert layer(torch.randn(32, 64, 8, 8)).std().item() == pytest.approx(3, rel=0.05)

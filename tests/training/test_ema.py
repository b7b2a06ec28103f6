from __future__ import annotations

import pytest
import torch
from torch import nn

from ganzoo.training.ema import EMA


def test_after_a_half_life_half_of_the_old_value_is_left() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    ema = EMA(network, half_life=1000)
    nn.init.ones_(network.weight)
    for i in range(10):
        ema.update(images_seen=1_000_000 + 100 * i, batch_size=100)
    assert ema.network.weight.item() == pytest.approx(0.5, abs=1e-6)


def test_running_statistics_are_averaged_and_counters_copied() -> None:
    network = nn.BatchNorm1d(2)
    ema = EMA(network, half_life=100)
    network(torch.randn(8, 2) + 5)
    ema.update(images_seen=10**6, batch_size=100)
    assert torch.allclose(ema.network.running_mean, network.running_mean / 2)
    assert ema.network.num_batches_tracked == 1


def test_other_buffers_are_copied() -> None:
    network = nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5))
    vectors = {name: tensor.clone() for name, tensor in network.named_buffers()}
    ema = EMA(network, half_life=10**6)
    with torch.no_grad():
        network.parametrizations.weight.original.copy_(torch.randn(5, 6))
    for _ in range(50):
        network(torch.randn(2, 6))
        ema.update(images_seen=10**9, batch_size=1)
    for name, tensor in network.named_buffers():
        assert not torch.equal(tensor, vectors[name])
        assert torch.equal(ema.network.get_buffer(name), tensor)
    original = ema.network.parametrizations.weight.original
    assert not torch.equal(original, network.parametrizations.weight.original)


def test_zero_half_life_is_a_copy_and_the_average_needs_no_gradient() -> None:
    network = nn.Linear(2, 2)
    ema = EMA(network, half_life=0)
    nn.init.ones_(network.weight)
    ema.update(images_seen=64, batch_size=64)
    assert torch.equal(ema.network.weight, network.weight)
    assert not any(parameter.requires_grad for parameter in ema.network.parameters())


def test_the_initial_weights_are_forgotten_fast() -> None:
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    ema = EMA(network, half_life=10**9)
    nn.init.ones_(network.weight)
    for step in range(1, 101):
        ema.update(images_seen=step * 10, batch_size=10)
    assert ema.network.weight.item() > 0.99

"""Batch statistics; tests/core/test_distributed.py checks SynchronisedBatchNorm on several ranks."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ganzoo.nn import SynchronisedBatchNorm, synchronise, uses_batch_statistics


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm])
def test_batch_norm_is_found_at_any_depth(norm: type[nn.Module]) -> None:
    assert uses_batch_statistics(nn.Sequential(nn.Linear(2, 2), nn.Sequential(norm(3))))
    assert not uses_batch_statistics(nn.Sequential(nn.Linear(2, 2), nn.GroupNorm(1, 3), nn.InstanceNorm2d(3)))


def test_frozen_features_do_not_count_unless_training_puts_them_into_training_mode() -> None:
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> Frozen:
            return super().train(False)

    norms = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3)
    assert not uses_batch_statistics(nn.Sequential(Frozen(*norms), nn.Flatten()))
    network = nn.Sequential(*norms).eval()
    assert uses_batch_statistics(network)
    assert not any(module.training for module in network.modules())
    assert uses_batch_statistics(Frozen(nn.BatchNorm2d(3, track_running_stats=False)))


@pytest.mark.parametrize("training", [True, False])
def test_a_synchronised_network_shares_its_tensors_and_computes_the_same_on_one_rank(training: bool) -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Sequential(nn.BatchNorm2d(3), nn.ReLU())).train(training)
    x = torch.randn(4, 2, 6, 6)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    expected = network(x)
    tracked = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network.load_state_dict(state)
    parameters = list(network.parameters())
    synchronise(network)
    assert isinstance(network[1][0], SynchronisedBatchNorm)  # type: ignore[index]
    assert all(new is old for new, old in zip(network.parameters(), parameters, strict=True))
    assert network[1][0].training is training  # type: ignore[index]
    torch.testing.assert_close(network(x), expected)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, tracked[name], msg=name)

from __future__ import annotations

import torch
from torch import nn

from ganzoo.core.spec import DataSpec
from ganzoo.nn import MLPDiscriminator, MLPGenerator, mlp


def test_mlp_has_activations_between_its_layers_only() -> None:
    network = mlp((4, 8, 6, 2), nn.ReLU())
    assert [type(layer).__name__ for layer in network] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert network(torch.randn(3, 4)).shape == (3, 2)
    assert [type(layer).__name__ for layer in mlp((4, 2), nn.ReLU())] == ["Linear"]


def test_generator_outputs_are_bounded_images_or_unbounded_points() -> None:
    z = 1000 * torch.randn(4, 3)
    images = MLPGenerator(3, (8,), DataSpec(2, 5))(z)
    assert images.shape == (4, 2, 5, 5)
    assert images.abs().max() <= 1
    points = MLPGenerator(3, (8,), DataSpec(2, 0))(z)
    assert points.shape == (4, 2)
    assert points.abs().max() > 1


def test_discriminator_drops_units_in_training_only() -> None:
    discriminator = MLPDiscriminator((32,), DataSpec(2, 5), dropout=0.5)
    images = torch.rand(4, 2, 5, 5)
    assert discriminator(images).shape == (4,)
    assert not torch.equal(discriminator(images), discriminator(images))
    discriminator.eval()
    assert torch.equal(discriminator(images), discriminator(images))

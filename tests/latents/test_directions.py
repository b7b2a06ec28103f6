from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganzoo import latents
from ganzoo.errors import UsageError
from ganzoo.gan import GAN
from ganzoo.latents.layers import input_of, layers, output_of
from tests.latents.conftest import NAMES, Build


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("find", [latents.ganspace, latents.sefa])
def test_directions_of_any_architecture(find: object, name: str, build: Build) -> None:
    gan = build(name)
    options = {"samples": 300} if find is latents.ganspace else {}
    found = find(gan, 3, seed=1, **options)  # type: ignore[operator]
    assert len(found) == 3
    assert torch.allclose(found.vectors.flatten(1).norm(dim=1), torch.ones(3))
    assert found.effects.tolist() == sorted(found.effects.tolist(), reverse=True)
    assert found.effects[0] > 0
    again = find(gan, 3, seed=1, **options)  # type: ignore[operator]
    assert torch.allclose(found.vectors, again.vectors, atol=1e-3)  # sums are rounded by how memory is aligned
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in gan.modules())


@pytest.mark.parametrize("name", ["vanilla", "cgan", "dcgan"])
def test_sefa_gives_the_eigenvectors_of_the_first_layers_weights(name: str, build: Build) -> None:
    gan = build(name)
    layer = next(m for m in gan.generator.modules() if isinstance(m, (nn.Linear, nn.ConvTranspose2d)))
    size = gan.config.latent_dim
    a = layer.weight.flatten(1).T if isinstance(layer, nn.ConvTranspose2d) else layer.weight
    a = a[:, :size].double()  # the embedding of the class follows z
    _, vectors = torch.linalg.eigh((a.T @ a).detach())
    found = latents.sefa(gan, 4)
    order = [int(name.split()[1]) for name in found.names]
    for vector, rank in zip(found.vectors.double(), order):
        assert abs(float(vector @ vectors[:, -rank])) > 0.999


def test_ganspace_finds_the_plane_in_which_activations_vary(build: Build) -> None:
    class Plane(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(64, 100), nn.Linear(100, 64)
            scales = torch.full((64,), 0.01)
            scales[[5, 9]] = torch.tensor([3.0, 2.0])
            nn.init.orthogonal_(self.first.weight)
            self.first.weight.data *= scales

        def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
            return self.second(self.first(z)).unflatten(1, (1, 8, 8)).tanh()  # type: ignore[no-any-return]

    usual = build("vanilla", latent_dim=64)
    found = latents.ganspace(GAN(Plane(), usual.discriminator, usual.config, usual.spec), 2, samples=2000)
    ranked = sorted(zip(found.names, found.vectors))  # component 1, component 2
    assert [int(vector.abs().argmax()) for _, vector in ranked] == [5, 9]


def test_class_means_point_to_their_class(build: Build) -> None:
    gan = build("vanilla")
    points = latents.sample(gan, 2000)
    classes = (points.z[:, 7] > 0).long()
    found = latents.class_means(gan, points, classes, ["low", "high", "unseen"])
    assert sorted(found.names) == ["high", "low"]
    assert float(found.vectors[found.names.index("high")][7]) > 0.9
    with pytest.raises(UsageError, match="of one class"):
        latents.class_means(gan, points, torch.zeros(2000, dtype=torch.int64), ["low", "high"])


def test_going_along_directions(build: Build) -> None:
    gan = build("cgan")
    found, point = latents.sefa(gan, 2), latents.of_seeds(gan, [3], [2])
    z = latents.along(point, found, steps=5, extent=2).z.unflatten(0, (2, 5))
    assert torch.allclose(z[:, 2], point.z.expand(2, -1))
    assert torch.allclose(z[:, 4] - z[:, 0], 4 * found.vectors, atol=1e-5)
    assert len(found.first(1)) == 1


def test_layers_are_found_in_the_order_in_which_they_run_and_see_what_they_see() -> None:
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(inplace=True), nn.LayerNorm(8), nn.Linear(8, 2))
    x = torch.randn(3, 4)
    found = layers(network, lambda: network(x))
    assert found == [network[0], network[3]]
    assert torch.equal(output_of(found[0], lambda: network(x)), network[0](x))  # not what ReLU made of it
    assert torch.equal(input_of(found[1], lambda: network(x)), network[:3](x))
    with pytest.raises(UsageError, match="no linear or convolutional layers"):
        layers(nn.ReLU(), lambda: None)

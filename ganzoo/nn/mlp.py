"""Multilayer perceptrons, as in Goodfellow et al. 2014, arXiv:1406.2661."""

from __future__ import annotations

import math

from torch import Tensor, nn

from ganzoo.core.spec import DataSpec
from ganzoo.ops import linear


class Linear(nn.Linear):
    """nn.Linear, computed by `ganzoo.ops.linear`: [N, in_features] -> [N, out_features]."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def mlp(widths: tuple[int, ...], *between: nn.Module) -> nn.Sequential:
    """Linear layers of these widths with the modules `between` them: [N, widths[0]] -> [N, widths[-1]]."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [Linear(inputs, outputs), *between]
    return nn.Sequential(*layers[: len(layers) - len(between)])


class MLPGenerator(nn.Module):
    """z [N, latent_dim] -> LeakyReLU layers -> images or audio in [-1, 1], [N, *spec.shape], or points [N, C]."""

    def __init__(self, latent_dim: int, widths: tuple[int, ...], spec: DataSpec):
        super().__init__()
        self.layers = mlp((latent_dim, *widths, math.prod(spec.shape)), nn.LeakyReLU(0.2, inplace=True))
        self.head = nn.Sequential(nn.Unflatten(1, spec.shape), nn.Tanh()) if len(spec.shape) > 1 else nn.Identity()

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        samples: Tensor = self.head(self.layers(z))
        return samples


class MLPDiscriminator(nn.Module):
    """Images, audio or points [N, *spec.shape] -> LeakyReLU layers with dropout -> logits [N]."""

    def __init__(self, widths: tuple[int, ...], spec: DataSpec, dropout: float = 0.0):
        super().__init__()
        self.layers = mlp((math.prod(spec.shape), *widths, 1), nn.LeakyReLU(0.2, inplace=True), nn.Dropout(dropout))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.layers(images.flatten(1)).squeeze(1)
        return logits

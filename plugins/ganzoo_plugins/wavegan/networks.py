"""The networks of Donahue et al. 2019, arXiv:1802.04208, appendix D: kernels of 25 samples, stages of 4."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.errors import UsageError
from ganzoo.gan import GAN
from ganzoo.nn import Conv1d, ConvTranspose1d
from ganzoo.plugin import DataSpec
from ganzoo_plugins.wavegan import WaveGANConfig

KERNEL = 25
BASE = 16
"""Samples of the innermost feature maps, 16 to 63: 16,384 = 16 * 4**5."""
MAX_STAGES = 8


class UniformNoise(GAN):
    """A GAN whose noise is uniform in [-1, 1]."""

    def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        return torch.rand(n, self.config.latent_dim, device=self.device, generator=rng) * 2 - 1


class Generator(nn.Module):
    """z [N, latent_dim] -> [N, 2^(k-1) width, base] -> ... -> [N, width, samples / 4] -> audio [N, C, samples]."""

    def __init__(self, config: WaveGANConfig, spec: DataSpec):
        super().__init__()
        self.base, widths = stages(config, spec)
        self.label = nn.Embedding(spec.classes, config.latent_dim) if spec.classes else None
        inputs = config.latent_dim * (2 if spec.classes else 1)
        self.start = nn.Linear(inputs, widths[-1] * self.base)
        self.layers = nn.ModuleList(
            ConvTranspose1d(inner, outer, KERNEL, 4, padding=11, output_padding=1)
            for inner, outer in zip(widths[::-1], [*widths[-2::-1], spec.shape[0]])
        )
        initialise(self)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        z = z if self.label is None else torch.cat([z, self.label(condition)], dim=1)
        maps: Tensor = self.start(z).unflatten(1, (-1, self.base))
        for layer in self.layers:
            maps = layer(maps.relu())
        return maps.tanh()


class Discriminator(nn.Module):
    """Audio [N, C, samples] -> [N, width, samples / 4] -> ... -> [N, 2^(k-1) width, base] -> logits [N]."""

    def __init__(self, config: WaveGANConfig, spec: DataSpec):
        super().__init__()
        base, widths = stages(config, spec)
        self.layers = nn.ModuleList(
            Conv1d(outer, inner, KERNEL, 4, padding=11) for outer, inner in zip([spec.shape[0], *widths], widths)
        )
        self.shuffle = PhaseShuffle(config.shuffle)
        features = widths[-1] * base
        self.head = nn.Linear(features, 1)
        self.label = nn.Embedding(spec.classes, features) if spec.classes else None
        initialise(self)

    def forward(self, audio: Tensor, condition: Tensor | None = None) -> Tensor:
        maps = audio
        for number, layer in enumerate(self.layers, 1):
            maps = F.leaky_relu(layer(maps), 0.2)
            if number < len(self.layers):
                maps = self.shuffle(maps)
        features = maps.flatten(1)
        logits: Tensor = self.head(features).squeeze(1)
        return logits if self.label is None else logits + (self.label(condition) * features).sum(1)


class PhaseShuffle(nn.Module):
    """In training, maps [N, C, L] moved by up to `most` samples, all by the same; what is missing is reflected: 3.3.

    Without it the critic can tell generated audio by the phase of the artefacts of upsampling.
    """

    def __init__(self, most: int):
        super().__init__()
        self.most = most

    def forward(self, maps: Tensor) -> Tensor:
        if not (self.training and self.most):
            return maps
        last = maps.shape[2] - 1
        moved = torch.arange(last + 1, device=maps.device)
        moved = moved + torch.randint(-self.most, self.most + 1, (1,), device=maps.device)
        return maps.transpose(1, 2).index_select(1, last - (last - moved.abs()).abs()).transpose(1, 2)


def stages(config: WaveGANConfig, spec: DataSpec) -> tuple[int, list[int]]:
    """The length of the innermost maps, and the channels of the stages, the outermost first. UsageError for a length
    that is not reached."""
    samples = spec.shape[1]
    for count in range(1, MAX_STAGES + 1):
        base, rest = divmod(samples, 4**count)
        if rest == 0 and BASE <= base < 4 * BASE:
            return base, [config.width << stage for stage in range(count)]
    possible = [base * 4**count for base in range(BASE, 4 * BASE) for count in range(1, MAX_STAGES + 1)]
    nearest = min(possible, key=lambda length: abs(length - samples))
    raise UsageError(
        f"wavegan cannot make {spec.target}: it multiplies 16 to 63 samples by 4. Set another length, such as "
        f"audio:samples={nearest}:PATH."
    )


def initialise(network: nn.Module) -> None:
    """Glorot's uniform weights and biases 0, in place."""
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, nn.Embedding, nn.Conv1d, nn.ConvTranspose1d)):
            nn.init.xavier_uniform_(layer.weight)
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)):
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)

"""The networks and the objective of Berthelot et al. 2017, arXiv:1703.10717."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.gan import GAN
from ganzoo.nn import Conv3x3, UpsampleConv2d
from ganzoo.nn.dcgan import Sides, stages_of
from ganzoo.plugin import DataSpec
from ganzoo_plugins.began import BEGANConfig


class Decoder(nn.Sequential):
    """z [N, latent_dim] -> [N, width, *base] -> pairs of convolutions, doubled between -> [N, C, H, W]."""

    def __init__(self, config: BEGANConfig, spec: DataSpec):
        width, (base, doublings) = config.width, scales(spec)
        layers: list[nn.Module] = [
            nn.Linear(config.latent_dim, width * math.prod(base)),
            nn.Unflatten(1, (width, *base)),
            *_convolutions(width, width),
        ]
        for _ in range(doublings):
            layers += [UpsampleConv2d(width, width), nn.ELU(inplace=True), *_convolution(width, width)]
        super().__init__(*layers, nn.Conv2d(width, spec.channels, 3, padding=1))


class Generator(nn.Module):
    """z [N, latent_dim], uniform in [-1, 1] -> images [N, C, H, W]; tanh keeps them in range."""

    def __init__(self, config: BEGANConfig, spec: DataSpec):
        super().__init__()
        self.decoder = Decoder(config, spec)
        initialise(self)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        images: Tensor = self.decoder(z)
        return images.tanh()


class AutoEncoder(nn.Module):
    """Images [N, C, H, W] -> minus their mean absolute reconstruction error, [N]."""

    def __init__(self, config: BEGANConfig, spec: DataSpec):
        super().__init__()
        width, (base, halvings) = config.width, scales(spec)
        layers: list[nn.Module] = list(_convolution(spec.channels, width))
        for scale in range(halvings + 1):
            layers += _convolutions(width * max(scale, 1), width * (scale + 1))
            if scale < halvings:
                layers += _convolution(width * (scale + 1), width * (scale + 1), stride=2)
        code = nn.Linear(width * (halvings + 1) * math.prod(base), config.latent_dim)
        self.encoder = nn.Sequential(*layers, nn.Flatten(), code)
        self.decoder = Decoder(config, spec)
        initialise(self)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        errors: Tensor = (self.decoder(self.encoder(images)) - images).abs().flatten(1).mean(1)
        return -errors


class BalancedGAN(GAN):
    """A GAN whose discriminator weighs generated images by k, which adapts: Berthelot et al. 2017, section 3.4."""

    packs = False

    k: Tensor

    def __init__(self, generator: nn.Module, discriminator: nn.Module, config: BEGANConfig, spec: DataSpec):
        super().__init__(generator, discriminator, config, spec)
        self.register_buffer("k", torch.zeros(()))
        self._imbalances: list[Tensor] = []

    def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        return torch.rand(n, self.config.latent_dim, device=self.device, generator=rng) * 2 - 1

    def discriminator_objective(self, on_real: Tensor | None, on_fake: Tensor | None) -> tuple[Tensor, dict[str, Any]]:
        """L(x) - k L(G(z)), and in the logs k and the measure of convergence M = L(x) + |gamma L(x) - L(G(z))|."""
        assert on_real is not None and on_fake is not None  # noqa: PT018
        _, logs = super().discriminator_objective(on_real, on_fake)
        real, fake = -on_real.mean(), -on_fake.mean()
        imbalance = (self.config.diversity * real - fake).detach()
        self._imbalances.append(imbalance)
        return real - self.k * fake, {**logs, "convergence": real.detach() + imbalance.abs(), "k": self.k.clone()}

    def after_discriminator_step(self) -> None:
        super().after_discriminator_step()
        if self._imbalances:
            imbalance = self.step_context.mean_over_ranks(torch.stack(self._imbalances).mean())
            self._imbalances.clear()
            self.k.add_(self.config.balance_lr * imbalance).clamp_(0, 1)


def scales(spec: DataSpec) -> tuple[Sides, int]:
    """The base, of 8 to 14 pixels on its shorter side, and doublings, as published: 64x64 -> ((8, 8), 3).

    Raises UsageError as `stages_of`.
    """
    (height, width), doublings = stages_of(spec)
    return (2 * height, 2 * width), doublings - 1


def initialise(network: nn.Module) -> None:
    """Xavier-uniform weights and biases 0, in place."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, ...]:
    conv = Conv3x3(inputs, outputs) if stride == 1 else nn.Conv2d(inputs, outputs, 3, stride, 1)
    return conv, nn.ELU(inplace=True)


def _convolutions(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return *_convolution(inputs, outputs), *_convolution(outputs, outputs)

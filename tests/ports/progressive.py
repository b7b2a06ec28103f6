"""Progressive growing (Karras et al. 2018): layers of higher resolutions join one after the other and are faded in."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ganzoo
from ganzoo.config import setting
from ganzoo.errors import UsageError
from ganzoo.gan import Logs, StepContext
from ganzoo.plugin import DataSpec

SIDES = (2, 4, 8)


class Generator(nn.Module):
    """z -> an image for each side, which `alpha` (at side 4, at side 8) blends from the smaller to the larger ones."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.scale = spec.size // SIDES[-1]
        self.first = nn.Linear(config.latent_dim, config.width * 4)
        self.convs = nn.ModuleList(nn.Conv2d(config.width, config.width, 3, padding=1) for _ in SIDES[1:])
        self.images = nn.ModuleList(nn.Conv2d(config.width, spec.channels, 1) for _ in SIDES)
        self.register_buffer("alpha", torch.zeros(len(SIDES) - 1))

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        x = F.leaky_relu(self.first(z).unflatten(1, (-1, 2, 2)), 0.2)
        image = self.images[0](x)
        for conv, to_image, alpha in zip(self.convs, self.images[1:], self.alpha):
            x = F.leaky_relu(conv(F.interpolate(x, scale_factor=2)), 0.2)
            image = torch.lerp(F.interpolate(image, scale_factor=2), to_image(x), alpha.to(x.dtype))
        return F.interpolate(image, scale_factor=self.scale).tanh()


class Discriminator(nn.Module):
    """The mirror image of the generator, with the same `alpha`."""

    def __init__(self, config: Any, spec: DataSpec):
        super().__init__()
        self.scale = spec.size // SIDES[-1]
        self.features = nn.ModuleList(nn.Conv2d(spec.channels, config.width, 1) for _ in SIDES)
        self.convs = nn.ModuleList(nn.Conv2d(config.width, config.width, 3, padding=1) for _ in SIDES[1:])
        self.head = nn.Linear(config.width * 4, 1)
        self.register_buffer("alpha", torch.zeros(len(SIDES) - 1))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        image = F.avg_pool2d(images, self.scale)
        x = self.features[2](image)
        for stage in (1, 0):
            image = F.avg_pool2d(image, 2)
            deep = F.avg_pool2d(F.leaky_relu(self.convs[stage](x), 0.2), 2)
            x = torch.lerp(self.features[stage](image), deep, self.alpha[stage].to(x.dtype))
        return self.head(x.flatten(1)).squeeze(1)  # type: ignore[no-any-return]


class Growing(ganzoo.GAN):
    """Every `grow` steps a side begins to be faded in, over `grow` steps; the step alone decides how far."""

    def phase(self, step: int) -> Hashable:
        return min(step, 2 * self.config.grow)

    def training_step(self, step: StepContext) -> Logs:
        for stage in range(len(SIDES) - 1):
            alpha = min(max((step.step + 1) / self.config.grow - stage, 0.0), 1.0)
            self.generator.alpha[stage].fill_(alpha)
            self.discriminator.alpha[stage].fill_(alpha)
        return super().training_step(step)


@dataclass(frozen=True, kw_only=True)
class ProgressiveConfig(ganzoo.Config):
    grow: int = setting(1000, "steps for every doubling of the resolution", ge=1)
    latent_dim: int = 8
    width: int = setting(8, "channels", ge=1)


class Progressive(ganzoo.Architecture):
    api_version = 2
    summary = "resolution grows while it trains"
    paper = "Karras et al. 2018, Progressive Growing of GANs, arXiv:1710.10196"
    Config = ProgressiveConfig

    def expected_failures(self, config: Any) -> dict[str, str]:  # type: ignore[override]
        late = "layers of higher resolutions join later"
        return {"gradients": late} if config.grow > 1 else {}

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        if spec.size % 8:
            raise UsageError(
                f"Image size {spec.size} is not a multiple of 8. Set image_size={spec.size // 8 * 8 + 8} instead."
            )
        return Growing(Generator(config, spec), Discriminator(config, spec), config, spec)

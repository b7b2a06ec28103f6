"""The networks of Karras et al. 2018, arXiv:1710.10196, appendix A, and how they grow."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.gan import GAN, Condition, Logs, StepContext
from ganzoo.nn import EqualisedConv2d, EqualisedLinear, MinibatchStddev
from ganzoo.nn.dcgan import stages_of
from ganzoo.nn.equalised import leaky, unit_length
from ganzoo.plugin import DataSpec
from ganzoo_plugins.pggan import PGGANConfig


class Growing(nn.Module):
    """A network whose stages 1, 2, ... double the side; `shares` says how far each is faded in, from 0 to 1."""

    shares: Tensor

    def __init__(self, config: PGGANConfig, spec: DataSpec):
        super().__init__()
        self.base, self.doublings = stages_of(spec)
        self.widths = [width(config, min(self.base) << stage) for stage in range(self.doublings + 1)]
        self.register_buffer("shares", torch.full((self.doublings,), 1.0 if config.grow == 0 else 0.0))

    def share(self, stage: int, like: Tensor) -> Tensor:
        return self.shares[stage - 1].to(like.dtype)


class Generator(Growing):
    """z [N, latent_dim] -> images [N, C, H, W]; tanh keeps them in range.

    Stages beyond `stage` are not computed; as long as their shares are 0, that changes nothing.
    """

    def __init__(self, config: PGGANConfig, spec: DataSpec):
        super().__init__(config, spec)
        self.stage = self.doublings
        first, *larger = self.widths
        self.start = EqualisedLinear(config.latent_dim, first * math.prod(self.base))
        self.conv = EqualisedConv2d(first, first, 3, activate=True)
        self.stages = nn.ModuleList(
            nn.ModuleList([EqualisedConv2d(a, b, 3, activate=True), EqualisedConv2d(b, b, 3, activate=True)])
            for a, b in zip(self.widths, larger)
        )
        self.images = nn.ModuleList(EqualisedConv2d(channels, spec.channels, 1) for channels in self.widths)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        maps = self.start(unit_length(z)).unflatten(1, (-1, *self.base))
        maps = unit_length(self.conv(unit_length(leaky(maps))))
        images = self.images[0](maps).tanh()
        for stage in range(1, self.stage + 1):
            maps = F.interpolate(maps, scale_factor=2.0)
            for conv in self.stages[stage - 1]:  # type: ignore[attr-defined]
                maps = unit_length(conv(maps))
            smaller = F.interpolate(images, scale_factor=2.0)
            images = torch.lerp(smaller, self.images[stage](maps).tanh(), self.share(stage, smaller))
        return F.interpolate(images, scale_factor=float(1 << (self.doublings - self.stage)))


class Discriminator(Growing):
    """Images [N, C, H, W], or those of a smaller stage -> logits [N]: the generator's mirror image."""

    def __init__(self, config: PGGANConfig, spec: DataSpec):
        super().__init__(config, spec)
        first, *larger = self.widths
        self.features = nn.ModuleList(
            EqualisedConv2d(spec.channels, channels, 1, activate=True) for channels in self.widths
        )
        self.stages = nn.ModuleList(
            nn.ModuleList([EqualisedConv2d(b, b, 3, activate=True), EqualisedConv2d(b, a, 3, activate=True)])
            for a, b in zip(self.widths, larger)
        )
        self.stddev = MinibatchStddev()
        self.conv = EqualisedConv2d(first + 1, first, 3, activate=True)
        self.hidden = EqualisedLinear(first * math.prod(self.base), first)
        self.head = EqualisedLinear(first, 1)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        largest = (images.shape[2] // self.base[0]).bit_length() - 1
        maps = self.features[largest](images)
        for stage in range(largest, 0, -1):
            for conv in self.stages[stage - 1]:  # type: ignore[attr-defined]
                maps = conv(maps)
            images = F.avg_pool2d(images, 2)
            smaller = self.features[stage - 1](images)
            maps = torch.lerp(smaller, F.avg_pool2d(maps, 2), self.share(stage, smaller))
        maps = self.conv(self.stddev(maps))
        logits: Tensor = self.head(leaky(self.hidden(maps.flatten(1)))).squeeze(1)
        return logits


class GrowingGAN(GAN):
    """A GAN whose networks grow: `grow` images of the first stage, then for each stage as many twice.

    In the first half its share grows to 1; the number of images decides. Losses compare images in the resolution of the
    stage, real ones blended as the generator's are.
    """

    packs = False

    generator: Generator
    discriminator: Discriminator
    seen: Tensor

    def __init__(self, generator: nn.Module, discriminator: nn.Module, config: PGGANConfig, spec: DataSpec):
        super().__init__(generator, discriminator, config, spec)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64), persistent=False)

    def stage(self, step: int) -> int:
        """The largest stage that works in this step."""
        largest, grow = self.generator.doublings, self.config.grow
        images = step * self.config.discriminator_steps * self.config.batch_size
        return largest if not grow else min((images // grow + 1) // 2, largest)

    def phase(self, step: int) -> Hashable:
        stage, others = self.stage(step), super().phase(step)
        return (stage, others) if self.config.grow else others

    def training_step(self, step: StepContext) -> Logs:
        if not self.config.grow:
            return super().training_step(step)
        stages = torch.arange(1, self.generator.doublings + 1, device=self.device)
        for network in (self.generator, self.discriminator):  # on the device, so that a CUDA graph does it as well
            network.shares.copy_((self.seen / self.config.grow - (2 * stages - 1)).clamp(0, 1))
        self.seen += self.config.discriminator_steps * self.config.batch_size
        self.generator.stage = self.stage(step.step)
        try:
            return super().training_step(step)
        finally:
            self.generator.stage = self.generator.doublings

    def discriminator_losses(
        self, real: Tensor, fake: Tensor, condition: Condition = None, rng: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Logs]]:
        yield from super().discriminator_losses(self.blended(real), self.shrunk(fake), condition, rng)

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Condition = None) -> tuple[Tensor, Logs]:
        return super().generator_loss(self.blended(real), self.shrunk(fake), condition)

    def shrunk(self, images: Tensor) -> Tensor:
        """Images [N, C, H, W] in the resolution of the stage."""
        factor = 1 << (self.generator.doublings - self.generator.stage)
        return images if factor == 1 else F.avg_pool2d(images, factor)

    def blended(self, real: Tensor) -> Tensor:
        """Real images in the resolution of the stage, blended with smaller ones while it is faded in."""
        images, stage = self.shrunk(real), self.generator.stage
        if stage == 0:
            return images
        smaller = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0)
        return torch.lerp(smaller, images, self.discriminator.share(stage, images))

    def discriminator_objective(self, on_real: Tensor | None, on_fake: Tensor | None) -> tuple[Tensor, Logs]:
        value, logs = super().discriminator_objective(on_real, on_fake)
        if on_real is not None and self.config.drift:  # appendix A.1
            value = value + self.config.drift * on_real.square().mean()
        return value, logs

    def state(self) -> dict[str, Any]:
        return {"seen": int(self.seen)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.seen.fill_(state["seen"])


def width(config: PGGANConfig, side: int) -> int:
    """The channels of feature maps of this side."""
    return max(1, min(config.channel_base // side, config.channel_max))

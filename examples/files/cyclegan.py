"""CycleGAN (Zhu et al. 2017): translation between two sets of images that do not belong together.

ganzoo train examples/files/cyclegan.py:CycleGAN --dataset unpaired:horses,zebras --out runs/zebras
ganzoo sample runs/zebras --inputs folder:horses --split train
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn

import ganzoo
from ganzoo.config import setting
from ganzoo.errors import UsageError
from ganzoo.gan import Logs, Player, StepContext
from ganzoo.plugin import DataSpec


class CycleGame(ganzoo.GAN):
    """Two translators against a discriminator of each domain; what is translated there and back must be the same."""

    def __init__(self, config: CycleGANConfig, spec: DataSpec):
        inputs, targets = spec.inputs, spec.channels
        super().__init__(Translator(inputs, targets, config), Patches(targets, config), config, spec)
        self.inverse, self.input_discriminator = Translator(targets, inputs, config), Patches(inputs, config)

    def players(self) -> dict[str, Player]:
        translators = nn.ModuleList([self.generator, self.inverse])
        judges = nn.ModuleList([self.discriminator, self.input_discriminator])
        rates = self.config.generator_lr, self.config.discriminator_lr
        generator, discriminator = (self.make_optimizer(*pair) for pair in zip((translators, judges), rates))
        return {
            "discriminator": Player(discriminator, ("discriminator", "input_discriminator")),
            "generator": Player(generator, ("generator", "inverse"), average=True),
        }

    def training_step(self, step: StepContext) -> Logs:
        batch = step.batches()
        with step.update("discriminator") as update:
            for micro in batch:
                fake, fake_input = step.generate(micro).detach(), self.inverse(micro.real).detach()
                update.backward(*self.judge(self.discriminator, micro.real, fake))
                update.backward(self.judge(self.input_discriminator, micro.condition, fake_input)[0])
        with step.update("generator") as update:
            for micro in batch:
                fake, fake_input = step.generate(micro), self.inverse(micro.real)
                fooled = self.fool(self.discriminator, fake) + self.fool(self.input_discriminator, fake_input)
                cycle = self.distance(self.inverse(fake), micro.condition)
                cycle = cycle + self.distance(self.generator(None, fake_input), micro.real)
                update.backward(fooled + self.config.cycle_weight * cycle, {"cycle": cycle.detach()})
        return step.logs

    def judge(self, discriminator: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Logs]:
        on_real, on_fake = (discriminator(self.augment(images)).float() for images in (real, fake))
        return self.discriminator_objective(on_real, on_fake)

    def fool(self, discriminator: nn.Module, fake: Tensor) -> Tensor:
        return self.generator_objective(None, discriminator(self.augment(fake)).float())

    @staticmethod
    def distance(images: Tensor, originals: Tensor) -> Tensor:
        return (images.float() - originals).abs().mean()


class Translator(nn.Module):
    """Images [N, C, H, W] -> images [N, C', H, W], with residual blocks at full resolution."""

    def __init__(self, inputs: int, outputs: int, config: CycleGANConfig):
        super().__init__()
        width = config.width
        self.first = nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), nn.GroupNorm(1, width), nn.ReLU())
        self.blocks = nn.ModuleList(block(width) for _ in range(config.blocks))
        self.last = nn.Conv2d(width, outputs, 3, padding=1)

    def forward(self, z: Tensor | None, images: Tensor | None = None) -> Tensor:
        """`translator(z, images)` as a generator, whose noise is not used, or `translator(images)`."""
        x = self.first(z if images is None else images)
        for residual in self.blocks:
            x = x + residual(x)
        result: Tensor = self.last(x).tanh()
        return result


class Patches(nn.Sequential):
    """Images [N, C, H, W] -> logits [N, h, w] of overlapping patches."""

    def __init__(self, channels: int, config: CycleGANConfig):
        super().__init__(
            nn.Conv2d(channels, config.width, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(config.width, 2 * config.width, 3, padding=1),
            nn.GroupNorm(1, 2 * config.width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * config.width, 1, 3, padding=1),
        )

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        logits: Tensor = super().forward(images).squeeze(1)
        return logits


def block(width: int) -> nn.Sequential:
    conv = nn.Conv2d(width, width, 3, padding=1)
    return nn.Sequential(conv, nn.GroupNorm(1, width), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1))


@dataclass(frozen=True, kw_only=True)
class CycleGANConfig(ganzoo.Config):
    loss: Literal["least_squares", "nonsaturating", "hinge"] = "least_squares"
    penalty: Literal["none"] = "none"
    latent_dim: int = setting(1, "not used: translation has no noise", ge=1)
    cycle_weight: float = setting(10.0, "weight of the difference after translation there and back", ge=0)
    width: int = setting(32, "channels of the translators", ge=1)
    blocks: int = setting(4, "residual blocks of a translator", ge=0)


class CycleGAN(ganzoo.Architecture):
    api_version = 2
    summary = "translation between two domains without pairs"
    paper = "Zhu et al. 2017, Unpaired Image-to-Image Translation, arXiv:1703.10593"
    paired = True
    unpaired = True
    steers = ("generator",)
    Config = CycleGANConfig

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        if min(spec.shape[1:]) < 4:
            raise UsageError(
                f"CycleGAN needs images of at least 4 pixels, not {spec.target}. Set image_size=4 instead."
            )
        return CycleGame(config, spec)

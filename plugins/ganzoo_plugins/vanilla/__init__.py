"""The original GAN: two multilayer perceptrons (Goodfellow et al. 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, LossName, Variants

if TYPE_CHECKING:
    from ganzoo import GAN


@dataclass(frozen=True, kw_only=True)
class VanillaConfig(Config):
    variants: ClassVar[Variants] = {
        # R1 keeps most modes; decaying learning rates sharpen them
        "data=points": {
            "generator_widths": (128,) * 4,
            "discriminator_widths": (128,) * 4,
            "dropout": 0.0,
            "latent_dim": 2,
            "batch_size": 100,
            "steps": 24_000,
            "penalty": "r1",
            "penalty_weight": 0.001,
            "generator_lr": 4e-3,
            "discriminator_lr": 4e-3,
            "lr_half_life": 400_000,
            "beta1": 0.0,
            "beta2": 0.99,
            "ema_half_life": 100_000,
        }
    }

    loss: LossName = setting("nonsaturating", "adversarial loss; nonsaturating maximises log D(G(z))")
    generator_widths: tuple[int, ...] = setting((256, 512, 1024), "hidden layers of the generator", ge=1)
    discriminator_widths: tuple[int, ...] = setting((512, 256), "hidden layers of the discriminator", ge=1)
    dropout: float = setting(0.3, "dropout probability in the discriminator's hidden layers", ge=0, le=0.9)


class Vanilla(Architecture):
    api_version = 2
    summary = "the original: two multilayer perceptrons"
    paper = "Goodfellow et al. 2014, Generative Adversarial Networks, arXiv:1406.2661"
    kinds = ("images", "points", "audio", "table", "video")
    Config = VanillaConfig

    def build(self, config: VanillaConfig, spec: DataSpec) -> GAN:
        from ganzoo import GAN
        from ganzoo.nn import MLPDiscriminator, MLPGenerator

        generator = MLPGenerator(config.latent_dim, config.generator_widths, spec)
        discriminator = MLPDiscriminator(config.discriminator_widths, spec, config.dropout)
        return GAN(generator, discriminator, config, spec)

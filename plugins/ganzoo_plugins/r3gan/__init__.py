"""R3GAN (Huang et al. 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, LossName, PenaltyName, Preset, Recipe, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class R3GANConfig(Config):
    variants: ClassVar[Variants] = {
        # a strong penalty early finds every mode; a weak one late lets the critic resolve their width
        "data=points": {
            "penalty_weight": 1.0,
            "penalty_half_life": 850_000,
            "latent_dim": 2,
            "batch_size": 256,
            "steps": 80_000,
            "generator_lr": 2e-3,
            "discriminator_lr": 2e-3,
            "lr_half_life": 2_900_000,
            "ema_half_life": 100_000,
        },
        "preset=paper": {
            "width": 768,
            "blocks": 2,
            "expansion": 2,
            "group_width": 16,
            "penalty_weight": 0.05,
            "batch_size": 512,
            "generator_lr": 2e-4,
            "discriminator_lr": 2e-4,
            "ema_half_life": 5_000_000,
        },
    }

    loss: LossName = "relativistic"
    penalty: PenaltyName = "r1r2"
    penalty_weight: float = 2.0
    latent_dim: int = 64
    batch_size: int = 32
    generator_lr: float = 1e-3
    discriminator_lr: float = 5e-4
    beta1: float = 0.0
    beta2: float = 0.99
    ema_half_life: int = 5_000
    preset: Preset = setting("small", "small: minutes on a CPU; paper: the authors' networks for 32 and 64 pixels")
    width: int = setting(32, "channels of the largest feature maps; doubled at every smaller scale", ge=1)
    blocks: int = setting(1, "residual blocks per scale", ge=1)
    expansion: int = setting(1, "ratio of a block's inner channels to its outer ones", ge=1)
    group_width: int = setting(32, "channels per group of the grouped 3x3 convolution", ge=1)
    generator_widths: tuple[int, ...] = setting((128,) * 4, "points: hidden layers of the generator", ge=1)
    discriminator_widths: tuple[int, ...] = setting((128,) * 4, "points: hidden layers of the critic", ge=1)


class R3GAN(Architecture):
    api_version = 2
    summary = "a modern baseline: relativistic loss, R1 and R2 penalties, residual blocks, no normalisation"
    paper = "Huang et al. 2024, The GAN is dead; long live the GAN! A Modern Baseline GAN, arXiv:2501.05441"
    kinds: ClassVar[tuple[str, ...]] = ("images", "points")
    Config = R3GANConfig
    recipes: ClassVar = {
        "modes": Recipe(
            summary="a thousand kinds of images: on stacked_mnist KL 0.133 instead of 0.210, all 1,000 modes by both",
            settings={"penalty_half_life": 80_000, "ema_half_life": 20_000, "steps": 14_000},
        )
    }

    def build(self, config: R3GANConfig, spec: DataSpec) -> GAN:
        from ganzoo.nn import MLPDiscriminator, MLPGenerator
        from ganzoo_plugins.r3gan.gan import SharedPassGAN
        from ganzoo_plugins.r3gan.networks import Discriminator, Generator

        if spec.kind == "points":
            generator = MLPGenerator(config.latent_dim, config.generator_widths, spec)
            return SharedPassGAN(generator, MLPDiscriminator(config.discriminator_widths, spec), config, spec)
        if config.preset == "paper":
            from ganzoo_plugins.r3gan import published

            return SharedPassGAN(published.Generator(config, spec), published.Discriminator(config, spec), config, spec)
        return SharedPassGAN(Generator(config, spec), Discriminator(config, spec), config, spec)


@dataclass(frozen=True, kw_only=True)
class ConditionalR3GANConfig(R3GANConfig):
    variants: ClassVar[Variants] = {"preset=paper": R3GANConfig.variants["preset=paper"]}


class ConditionalR3GAN(R3GAN):
    api_version = 2
    summary = "r3gan for images with class labels"
    Config = ConditionalR3GANConfig
    paper = R3GAN.paper
    conditional = True
    kinds = ("images",)
    recipes: ClassVar = {}

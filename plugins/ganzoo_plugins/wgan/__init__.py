"""Wasserstein GAN (Arjovsky et al. 2017), and WGAN-GP (Gulrajani et al. 2017) with penalty=gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, ConvolutionalConfig, DataSpec, LossName, OptimizerName, PenaltyName, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN

WITHOUT_CLIPPING = {
    "optimizer": "adam",
    "generator_lr": 1e-4,
    "discriminator_lr": 1e-4,
    "beta1": 0.0,
    "beta2": 0.9,
    "discriminator_norm": "none",
}


@dataclass(frozen=True, kw_only=True)
class WGANConfig(ConvolutionalConfig):
    variants: ClassVar[Variants] = {
        **{f"penalty={name}": WITHOUT_CLIPPING for name in ("gradient", "dragan", "r1", "r1r2")},
        **{f"spectral_norm={name}": {"discriminator_norm": "none"} for name in ("discriminator", "both")},
    }

    loss: LossName = "wasserstein"
    penalty: PenaltyName = setting(
        "clip", "clip: WGAN; gradient: WGAN-GP, with its own optimizer settings and no norm in the critic"
    )
    discriminator_steps: int = 5
    optimizer: OptimizerName = "rmsprop"
    generator_lr: float = 5e-5
    discriminator_lr: float = 5e-5
    ema_half_life: int = 100_000
    width: int = 32
    generator_widths: tuple[int, ...] = setting((128,) * 3, "points: hidden layers of the generator", ge=1)
    discriminator_widths: tuple[int, ...] = setting((128,) * 3, "points: hidden layers of the critic", ge=1)


class WGAN(Architecture):
    api_version = 2
    summary = "a critic that estimates the Wasserstein distance"
    paper = (
        "Arjovsky et al. 2017, Wasserstein GAN, arXiv:1701.07875; penalty=gradient: Gulrajani et al., arXiv:1704.00028"
    )
    kinds = ("images", "points")
    Config = WGANConfig

    def build(self, config: WGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo.nn import MLPDiscriminator, MLPGenerator
        from ganzoo_plugins.wgan.networks import Critic, Generator

        if spec.kind == "points":
            point_generator = MLPGenerator(config.latent_dim, config.generator_widths, spec)
            return GAN(point_generator, MLPDiscriminator(config.discriminator_widths, spec), config, spec)
        generator = Generator(config.latent_dim, config.width, spec)
        critic = Critic(config.width, spec, norm=config.discriminator_norm == "batch")
        return GAN(generator, critic, config, spec)

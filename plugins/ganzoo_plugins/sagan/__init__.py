"""Self-attention GAN (Zhang et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, LossName, Networks, Preset, StandingSampling, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class SAGANConfig(Config):
    variants: ClassVar[Variants] = {"preset=paper": {"width": 64, "latent_dim": 128, "steps": 100_000}}

    loss: LossName = "hinge"
    spectral_norm: Networks = "both"
    generator_lr: float = 1e-4
    discriminator_lr: float = 4e-4
    beta1: float = 0.0
    beta2: float = 0.9
    preset: Preset = setting("small", "small: hours on a CPU; paper: the published widths, for a GPU")
    width: int = setting(16, "channels of the layer next to the image (up to 32 pixels: twice and 4 times)", ge=1)


class SAGAN(Architecture):
    api_version = 2
    summary = "residual blocks with self-attention, spectral norm in both networks, class-conditional"
    paper = "Zhang et al. 2019, Self-Attention Generative Adversarial Networks, arXiv:1805.08318"
    conditional = True
    Config = SAGANConfig
    Sampling = StandingSampling
    check_settings: ClassVar = {"width": 8}

    def build(self, config: SAGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo.nn.resnet import Discriminator, Generator

        generator = Generator(config.latent_dim, config.width, spec, spec.classes, attention=True)
        return GAN(generator, Discriminator(config.width, spec, spec.classes, attention=True), config, spec)

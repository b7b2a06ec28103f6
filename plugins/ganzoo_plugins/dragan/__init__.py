"""DRAGAN (Kodali et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.plugin import Architecture, ConvolutionalConfig, DataSpec, NormName, PenaltyName

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class DRAGANConfig(ConvolutionalConfig):
    penalty: PenaltyName = "dragan"
    discriminator_norm: NormName = "none"
    width: int = 32


class DRAGAN(Architecture):
    api_version = 2
    summary = "a gradient penalty near real images keeps the discriminator from sharp slopes"
    paper = "Kodali et al. 2017, On Convergence and Stability of GANs, arXiv:1705.07215"
    Config = DRAGANConfig
    check_settings: ClassVar = {"width": 8}

    def build(self, config: DRAGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo.nn.dcgan import Discriminator, Generator

        discriminator = Discriminator(config.width, spec, norm=config.discriminator_norm == "batch")
        return GAN(Generator(config.latent_dim, config.width, spec), discriminator, config, spec)

"""Relativistic average GAN (Jolicoeur-Martineau 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.plugin import Architecture, ConvolutionalConfig, DataSpec, LossName, Networks, NormName

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class RaGANConfig(ConvolutionalConfig):
    loss: LossName = "relativistic_average"
    spectral_norm: Networks = "discriminator"
    discriminator_norm: NormName = "none"
    width: int = 32


class RaGAN(Architecture):
    api_version = 2
    summary = "asks whether real images look more real than the average fake, and vice versa"
    paper = "Jolicoeur-Martineau 2018, The relativistic discriminator, arXiv:1807.00734"
    Config = RaGANConfig
    check_settings: ClassVar = {"width": 8}
    expected_failures: ClassVar = {"accumulate": "each logit is compared with the mean logit of its microbatch"}

    def build(self, config: RaGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo.nn.dcgan import Discriminator, Generator

        discriminator = Discriminator(config.width, spec, norm=config.discriminator_norm == "batch")
        return GAN(Generator(config.latent_dim, config.width, spec), discriminator, config, spec)

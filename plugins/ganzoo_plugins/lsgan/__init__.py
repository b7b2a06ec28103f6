"""Least squares GAN (Mao et al. 2017): DCGAN's networks with the least-squares loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganzoo.plugin import Architecture, ConvolutionalConfig, DataSpec, LossName

if TYPE_CHECKING:
    from ganzoo import GAN


@dataclass(frozen=True, kw_only=True)
class LSGANConfig(ConvolutionalConfig):
    loss: LossName = "least_squares"
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    width: int = 32


class LSGAN(Architecture):
    api_version = 2
    summary = "dcgan with the least-squares loss, whose gradient does not saturate for confident predictions"
    paper = "Mao et al. 2017, Least Squares Generative Adversarial Networks, arXiv:1611.04076"
    Config = LSGANConfig

    def build(self, config: LSGANConfig, spec: DataSpec) -> GAN:
        from ganzoo import GAN
        from ganzoo.nn.dcgan import Discriminator, Generator

        generator = Generator(config.latent_dim, config.width, spec)
        discriminator = Discriminator(config.width, spec, norm=config.discriminator_norm == "batch")
        return GAN(generator, discriminator, config, spec)

"""Spectrally normalised GAN (Miyato et al. 2018): the card. The networks are imported when they are built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganzoo import Architecture, Config, DataSpec
from ganzoo.config import setting
from ganzoo.plugin import LossName

if TYPE_CHECKING:
    from ganzoo import GAN


@dataclass(frozen=True, kw_only=True)
class SNGANConfig(Config):
    """The standard CNN of the paper's table 3, trained as its setting C in table 1."""

    loss: LossName = "hinge"
    width: int = setting(64, "channels of the layer next to the image; doubled at every stage", ge=1)
    slope: float = setting(0.1, "negative slope of the discriminator's leaky ReLU", ge=0, le=1)


class SNGAN(Architecture):
    api_version = 1
    summary = "spectral normalisation in the discriminator, and the hinge loss"
    paper = "Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv:1802.05957"
    Config = SNGANConfig

    def build(self, config: SNGANConfig, spec: DataSpec) -> GAN:
        from ganzoo import GAN
        from ganzoo_sngan.networks import Discriminator, Generator

        return GAN(Generator(config, spec), Discriminator(config, spec), config, spec)

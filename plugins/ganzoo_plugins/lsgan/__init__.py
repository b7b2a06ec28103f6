"""Least squares GAN (Mao et al. 2017): DCGAN with another objective, which any architecture can have."""

from __future__ import annotations

from dataclasses import dataclass

from ganzoo.plugin import LossName
from ganzoo_plugins.dcgan import DCGAN, DCGANConfig


@dataclass(frozen=True, kw_only=True)
class LSGANConfig(DCGANConfig):
    loss: LossName = "least_squares"
    batch_size: int = 64
    real_label: float = 1.0
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    width: int = 32


class LSGAN(DCGAN):
    api_version = 1
    summary = "dcgan with least squares: fakes far from the boundary are pulled back, too"
    paper = "Mao et al. 2017, Least Squares Generative Adversarial Networks, arXiv:1611.04076"
    Config = LSGANConfig

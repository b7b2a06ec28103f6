"""Conditional GAN (Mirza and Osindero 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class CGANConfig(Config):
    variants: ClassVar = {"loss=hinge": {"real_label": 1.0}, "loss=wasserstein": {"real_label": 1.0}}

    width: int = setting(64, "channels next to the image; every stage away from it has twice as many", ge=1)
    embedding: int = setting(32, "length of a label's learnt vector beside z", ge=1)


class CGAN(Architecture):
    api_version = 1
    summary = "labels steer generator and discriminator"
    paper = "Mirza and Osindero 2014, Conditional Generative Adversarial Nets, arXiv:1411.1784"
    conditional = True
    Config = CGANConfig

    def build(self, config: CGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo_plugins.cgan.networks import Discriminator, Generator

        return GAN(Generator(config, spec), Discriminator(config, spec), config, spec)

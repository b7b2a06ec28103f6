"""Conditional GAN (Mirza and Osindero 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from ganzoo.config import setting
from ganzoo.plugin import Architecture, ConvolutionalConfig, DataSpec

if TYPE_CHECKING:
    from ganzoo.gan import GAN

Networks = Literal["conv", "mlp"]


@dataclass(frozen=True, kw_only=True)
class CGANConfig(ConvolutionalConfig):
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    networks: Networks = setting("conv", "conv: DCGAN's convolutions; mlp: fully connected, as in the paper")
    embedding: int = setting(32, "length of the label embedding", ge=1)
    width: int = 32
    generator_widths: tuple[int, ...] = setting((256, 512, 1024), "mlp: hidden layers of the generator", ge=1)
    discriminator_widths: tuple[int, ...] = setting((512, 512), "mlp: hidden layers of the discriminator", ge=1)


class CGAN(Architecture):
    api_version = 2
    summary = "generator and discriminator are conditioned on class labels"
    paper = "Mirza and Osindero 2014, Conditional Generative Adversarial Nets, arXiv:1411.1784"
    conditional = True
    Config = CGANConfig

    def build(self, config: CGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo_plugins.cgan.networks import ConvDiscriminator, ConvGenerator, MLPDiscriminator, MLPGenerator

        if config.networks == "mlp":
            return GAN(MLPGenerator(config, spec), MLPDiscriminator(config, spec), config, spec)
        return GAN(ConvGenerator(config, spec), ConvDiscriminator(config, spec), config, spec)

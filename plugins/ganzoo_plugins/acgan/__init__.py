"""Auxiliary classifier GAN (Odena et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganzoo.config import setting
from ganzoo.plugin import Architecture, ConvolutionalConfig, DataSpec

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class ACGANConfig(ConvolutionalConfig):
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    width: int = 32
    class_weight: float = setting(1.0, "weight of the classification loss in both networks", ge=0)
    generator_class_weight: float | None = setting(None, "that of the generator; none: class_weight", ge=0)


class ACGAN(Architecture):
    api_version = 2
    summary = "the discriminator also classifies; the generator learns to draw recognisable classes"
    paper = "Odena et al. 2017, Conditional Image Synthesis with Auxiliary Classifier GANs, arXiv:1610.09585"
    conditional = True
    Config = ACGANConfig

    def build(self, config: ACGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.nn.dcgan import TwoHeadedDiscriminator
        from ganzoo_plugins.acgan.networks import ClassifierGAN, Generator

        discriminator = TwoHeadedDiscriminator(
            config.width, spec, spec.classes, norm=config.discriminator_norm == "batch"
        )
        return ClassifierGAN(Generator(config, spec), discriminator, config, spec)

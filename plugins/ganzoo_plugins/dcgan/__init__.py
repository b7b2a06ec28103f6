"""Deep convolutional GAN (Radford et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.plugin import Architecture, ConvolutionalConfig, DataSpec, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class DCGANConfig(ConvolutionalConfig):
    variants: ClassVar[Variants] = {
        **ConvolutionalConfig.variants,
        "loss=hinge": {"real_label": 1.0},
        "loss=wasserstein": {"real_label": 1.0},
        "loss=relativistic": {"real_label": 1.0},
        "loss=relativistic_average": {"real_label": 1.0},
        "loss=energy": {"real_label": 1.0},
    }

    batch_size: int = 128
    real_label: float = 0.9


class DCGAN(Architecture):
    api_version = 2
    summary = "strided convolutions and batch norm"
    paper = "Radford et al. 2016, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434"
    Config = DCGANConfig

    def build(self, config: DCGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo.nn.dcgan import Discriminator, Generator

        generator = Generator(config.latent_dim, config.width, spec)
        discriminator = Discriminator(config.width, spec, norm=config.discriminator_norm == "batch")
        return GAN(generator, discriminator, config, spec)

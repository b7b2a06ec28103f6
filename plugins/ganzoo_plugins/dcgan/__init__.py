"""Deep convolutional GAN (Radford et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN

Norm = Literal["batch", "none"]


@dataclass(frozen=True, kw_only=True)
class DCGANConfig(Config):
    variants: ClassVar[Variants] = {
        "penalty=gradient": {"discriminator_norm": "none"},
        "penalty=r1": {"discriminator_norm": "none"},
        "penalty=r1r2": {"discriminator_norm": "none"},
        "loss=hinge": {"real_label": 1.0},
        "loss=wasserstein": {"real_label": 1.0},
        "loss=relativistic": {"real_label": 1.0},
    }

    batch_size: int = 128
    real_label: float = 0.9
    width: int = setting(64, "channels next to the image; every stage away from it has twice as many", ge=1)
    discriminator_norm: Norm = setting("batch", "normalisation in the discriminator")


class DCGAN(Architecture):
    api_version = 1
    summary = "strided convolutions and batch norm"
    paper = "Radford et al. 2016, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434"
    Config = DCGANConfig

    def build(self, config: DCGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo_plugins.dcgan.networks import Discriminator, Generator

        generator = Generator(config.latent_dim, config.width, spec)
        discriminator = Discriminator(config.width, spec, norm=config.discriminator_norm == "batch")
        return GAN(generator, discriminator, config, spec)

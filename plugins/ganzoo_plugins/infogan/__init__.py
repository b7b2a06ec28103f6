"""InfoGAN (Chen et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ganzoo.config import setting
from ganzoo.plugin import Architecture, ConvolutionalConfig, DataSpec

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class InfoGANConfig(ConvolutionalConfig):
    width: int = 32
    latent_dim: int = 62
    generator_lr: float = 1e-3
    categories: int = setting(10, "number of values of the categorical code; `ganzoo sample --label` selects one", ge=2)
    continuous: int = setting(2, "number of continuous codes, uniform in [-1, 1]", ge=0)
    info_weight: float = setting(1.0, "weight of the categorical code's mutual information (lambda)", ge=0)
    continuous_weight: float = setting(0.1, "weight of the continuous codes' mutual information", ge=0)


class InfoGAN(Architecture):
    api_version = 2
    summary = "learns interpretable codes without labels; --label selects one"
    paper = "Chen et al. 2016, InfoGAN: Interpretable Representation Learning, arXiv:1606.03657"
    Config = InfoGANConfig

    def build(self, config: InfoGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.nn.dcgan import TwoHeadedDiscriminator
        from ganzoo_plugins.infogan.networks import Generator, MutualInformationGAN

        codes = config.categories + config.continuous
        discriminator = TwoHeadedDiscriminator(config.width, spec, codes, norm=config.discriminator_norm == "batch")
        return MutualInformationGAN(
            Generator(config.latent_dim + codes, config.width, spec), discriminator, config, spec
        )

"""Energy-based GAN (Zhao et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, ConvolutionalConfig, DataSpec, LossName

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class EBGANConfig(ConvolutionalConfig):
    loss: LossName = "energy"
    width: int = 32
    code: int = setting(32, "length of the auto-encoder's code", ge=2)
    margin: float = setting(0.2, "reconstruction error up to which generated images are pushed away (m)", gt=0)
    pull_away: float = setting(0.1, "weight of the generator's term against similar codes", ge=0)


class EBGAN(Architecture):
    api_version = 2
    summary = "the discriminator is an auto-encoder; what it reconstructs badly is fake"
    paper = "Zhao et al. 2017, Energy-based Generative Adversarial Network, arXiv:1609.03126"
    Config = EBGANConfig
    check_settings: ClassVar = {"width": 8, "code": 4}
    expected_failures: ClassVar = {"accumulate": "the pull-away term compares all images of a microbatch"}

    def build(self, config: EBGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.nn.dcgan import Generator
        from ganzoo_plugins.ebgan.networks import AutoEncoder, PullAwayGAN

        return PullAwayGAN(Generator(config.latent_dim, config.width, spec), AutoEncoder(config, spec), config, spec)

"""Semi-supervised GAN (Odena 2016; Salimans et al. 2016): the discriminator classifies K classes and "generated"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, ConvolutionalConfig, DataSpec

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class SGANConfig(ConvolutionalConfig):
    label_weight: float = setting(1.0, "weight of the classification of real images whose label is known", ge=0)
    width: int = 32


class SGAN(Architecture):
    api_version = 2
    summary = "semi-supervised: the discriminator is a classifier, with generated images as one more class"
    paper = (
        "Odena 2016, Semi-Supervised Learning with Generative Adversarial Networks, arXiv:1606.01583; Salimans et al. "
        "2016, Improved Techniques for Training GANs, arXiv:1606.03498, section 5"
    )
    conditional = True
    unknown_labels = True
    steers = ("discriminator",)
    Config = SGANConfig
    check_settings: ClassVar = {"width": 8}

    def build(self, config: SGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.nn.dcgan import Generator
        from ganzoo_plugins.sgan.networks import Classifier, SemiSupervisedGAN

        generator = Generator(config.latent_dim, config.width, spec)
        return SemiSupervisedGAN(generator, Classifier(config, spec), config, spec)

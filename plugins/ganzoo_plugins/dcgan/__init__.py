"""Deep convolutional GAN (Radford et al. 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ganzoo.config import setting
from ganzoo.errors import UsageError
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
        "kernel=5": {
            "discriminator_norm": "none",
            "real_label": 1.0,
            "batch_size": 256,
            "generator_lr": 1e-4,
            "discriminator_lr": 1e-4,
            "beta1": 0.9,
        },
    }

    batch_size: int = 128
    real_label: float = 0.9
    kernel: Literal[4, 5] = setting(4, "side of the kernels; 5 builds TensorFlow's tutorial, leaky ReLU throughout")

    def check(self) -> None:
        super().check()
        if self.kernel == 5 and self.discriminator_norm == "batch":
            raise UsageError(
                "kernel=5 with discriminator_norm=batch: the tutorial's discriminator has dropout instead. Choose "
                "discriminator_norm=none, or kernel=4."
            )


class DCGAN(Architecture):
    api_version = 2
    summary = "strided convolutions and batch norm"
    paper = "Radford et al. 2016, Unsupervised Representation Learning with DCGANs, arXiv:1511.06434"
    Config = DCGANConfig

    def build(self, config: DCGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo.nn.dcgan import Discriminator, Generator
        from ganzoo_plugins.dcgan import networks

        if config.kernel == 5:
            tutorial = networks.Generator(config.latent_dim, config.width, spec)
            return GAN(tutorial, networks.Discriminator(config.width, spec), config, spec)

        generator = Generator(config.latent_dim, config.width, spec)
        discriminator = Discriminator(config.width, spec, norm=config.discriminator_norm == "batch")
        return GAN(generator, discriminator, config, spec)

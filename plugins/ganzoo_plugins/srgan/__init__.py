"""SRGAN (Ledig et al. 2017): images from smaller ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, Field, Preset, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class SRGANConfig(Config):
    variants: ClassVar[Variants] = {
        "preset=paper": {
            "width": 64,
            "blocks": 16,
            "batch_size": 16,
            "generator_lr": 1e-4,
            "discriminator_lr": 1e-4,
            "steps": 100_000,
        }
    }

    latent_dim: int = setting(1, "not used: enlarging has no noise", ge=1)
    batch_size: int = 32
    generator_lr: float = 1e-3
    discriminator_lr: float = 2e-4
    beta1: float = 0.9
    preset: Preset = setting("small", "small: minutes on a CPU; paper: published networks and settings, for a GPU")
    adversarial_weight: float = setting(1e-3, "weight of the adversarial loss; 0: the content loss alone", ge=0)
    width: int = setting(32, "channels of the generator, and of the discriminator's first layer", ge=1)
    blocks: int = setting(4, "residual blocks of the generator", ge=0)


class SRGAN(Architecture):
    api_version = 2
    summary = "super-resolution: images of 2, 4 or more times the size of the inputs"
    paper = (
        "Ledig et al. 2017, Photo-Realistic Single Image Super-Resolution Using a Generative Adversarial Network, "
        "arXiv:1609.04802"
    )
    paired = True
    steers = ("generator",)
    Config = SRGANConfig
    check_settings: ClassVar = {"width": 8, "blocks": 1}

    def expected_failures(self, config: Any) -> dict[str, str]:  # type: ignore[override]
        alone = "with adversarial_weight=0 there is no discriminator to train"
        return {} if config.adversarial_weight else {"discriminator_step": alone, "objectives": alone}

    def example(self, config: SRGANConfig) -> DataSpec:
        return DataSpec(target=Field("images", (1, 16, 16)), given={"input": Field("images", (1, 8, 8))})

    def build(self, config: SRGANConfig, spec: DataSpec) -> GAN:
        from ganzoo_plugins.srgan.networks import Discriminator, Generator, SuperResolution

        return SuperResolution(Generator(config, spec), Discriminator(config, spec), config, spec)

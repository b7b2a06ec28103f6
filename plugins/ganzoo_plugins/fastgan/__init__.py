"""FastGAN (Liu et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ganzoo.config import setting
from ganzoo.plugin import Architecture, AugmentationName, Config, DataSpec, Networks, Preset, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class FastGANConfig(Config):
    variants: ClassVar[Variants] = {
        "preset=paper": {"width": 64, "latent_dim": 256, "batch_size": 8, "steps": 50_000},
    }

    loss: Literal["hinge", "nonsaturating", "minimax", "least_squares"] = setting("hinge", "adversarial loss")
    penalty: Literal["none"] = setting("none", "not available: the discriminator has batch norm")
    augmentation: AugmentationName = "color_translation"
    spectral_norm: Networks = "both"
    batch_size: int = 16
    ema_half_life: int = 5_500
    preset: Preset = setting("small", "small: minutes on a CPU; paper: published networks for 256 pixels, for a GPU")
    width: int = setting(8, "channels are multiples of this: 16 times as many in the smallest feature maps", ge=2)
    reconstruction: float = setting(1.0, "weight of the discriminator's reconstruction of real images", ge=0)


class FastGAN(Architecture):
    api_version = 2
    summary = "for few images: skip-layer excitation, a discriminator that also reconstructs, DiffAugment"
    paper = (
        "Liu et al. 2021, Towards Faster and Stabilized GAN Training for High-fidelity Few-shot Image Synthesis, "
        "arXiv:2101.04775"
    )
    Config = FastGANConfig
    check_settings: ClassVar = {"width": 2, "latent_dim": 8}
    expected_failures: ClassVar = {
        "accumulate": "noise, augmentation and the quarter to reconstruct are drawn for each microbatch"
    }

    def build(self, config: FastGANConfig, spec: DataSpec) -> GAN:
        from ganzoo_plugins.fastgan.gan import SelfSupervisedGAN
        from ganzoo_plugins.fastgan.networks import Discriminator, Generator

        return SelfSupervisedGAN(Generator(config, spec), Discriminator(config, spec), config, spec)

"""pix2pix (Isola et al. 2017): image-to-image translation learnt from pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, NormName, Preset, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class Pix2PixConfig(Config):
    variants: ClassVar[Variants] = {
        "preset=paper": {"width": 64, "patch_halvings": 3, "batch_size": 1},
        **{f"penalty={name}": {"discriminator_norm": "none"} for name in ("gradient", "dragan", "r1", "r1r2")},
        **{f"spectral_norm={name}": {"discriminator_norm": "none"} for name in ("discriminator", "both")},
    }

    latent_dim: int = setting(1, "not used: the only noise is dropout in training, as in the paper", ge=1)
    preset: Preset = setting("small", "small: minutes on a CPU; paper: published networks and settings, for a GPU")
    l1_weight: float = setting(100.0, "weight of the mean absolute difference from the true image (lambda)", ge=0)
    width: int = setting(32, "channels of the first layer; doubled at every halving of the image, up to 8 times", ge=1)
    halvings: int = setting(8, "maximum number of halvings in the U-Net, which stops at an odd size", ge=1, le=16)
    dropout: float = setting(0.5, "dropout probability in the innermost upward stages, up to three", ge=0, le=0.9)
    patch_halvings: int = setting(
        2, "halvings in the discriminator: 3 for patches of 70x70 pixels, 2 of 34x34", ge=0, le=8
    )
    discriminator_norm: NormName = setting("batch", "normalisation in the discriminator")


class Pix2Pix(Architecture):
    api_version = 2
    summary = "image-to-image translation from pairs: a U-Net and a discriminator of patches"
    paper = "Isola et al. 2017, Image-to-Image Translation with Conditional Adversarial Networks, arXiv:1611.07004"
    paired = True
    Config = Pix2PixConfig
    check_settings: ClassVar = {"width": 8}

    def build(self, config: Pix2PixConfig, spec: DataSpec) -> GAN:
        from ganzoo.nn import PatchDiscriminator
        from ganzoo_plugins.pix2pix.networks import L1GAN, UNet

        generator = UNet(config, spec)
        norm, inputs = config.discriminator_norm, spec.inputs
        return L1GAN(
            generator, PatchDiscriminator(spec, config.width, config.patch_halvings, norm, inputs), config, spec
        )

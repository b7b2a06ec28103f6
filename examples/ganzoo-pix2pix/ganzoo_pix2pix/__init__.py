"""pix2pix (Isola et al. 2017) for ganzoo: image-to-image translation learnt from pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ganzoo import Architecture, Config, DataSpec
from ganzoo.config import setting
from ganzoo.plugin import Variants

if TYPE_CHECKING:
    from ganzoo import GAN


@dataclass(frozen=True, kw_only=True)
class Pix2PixConfig(Config):
    variants: ClassVar[Variants] = {
        f"penalty={name}": {"discriminator_norm": "none"} for name in ("gradient", "r1", "r1r2")
    }

    latent_dim: int = setting(1, "not used: the only noise is dropout in training, as in the paper", ge=1)
    l1_weight: float = setting(100.0, "weight of the mean absolute difference from the true image (lambda)", ge=0)
    width: int = setting(32, "channels of the first layer; doubled at every halving of the image, up to 8 times", ge=1)
    depth: int = setting(8, "maximum number of halvings in the U-Net, which stops at an odd size", ge=1)
    dropout: float = setting(0.5, "dropout probability in the innermost two upward stages", ge=0, le=0.9)
    patch_depth: int = setting(2, "number of halvings in the discriminator, which sets the size of its patches", ge=1)
    discriminator_norm: Literal["batch", "none"] = setting("batch", "normalisation in the discriminator")


class Pix2Pix(Architecture):
    api_version = 1
    summary = "image-to-image translation with a U-Net and a patch discriminator"
    paper = "Isola et al. 2017, Image-to-Image Translation with Conditional Adversarial Networks, arXiv:1611.07004"
    paired = True
    Config = Pix2PixConfig

    def build(self, config: Pix2PixConfig, spec: DataSpec) -> GAN:
        from ganzoo_pix2pix.gan import L1GAN
        from ganzoo_pix2pix.networks import PatchDiscriminator, UNet

        return L1GAN(UNet(config, spec), PatchDiscriminator(config, spec), config, spec)

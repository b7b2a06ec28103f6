"""pix2pix (Isola et al. 2017) for ganzoo: images into images, learnt from pairs."""

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

    latent_dim: int = setting(1, "not used: all noise is dropout, as in the paper, and samples have none", ge=1)
    l1_weight: float = setting(100.0, "weight of the mean absolute difference from the true image (lambda)", ge=0)
    width: int = setting(32, "channels next to the image; every halving of the image doubles them, up to 8 times", ge=1)
    depth: int = setting(8, "how often the U-Net halves the image, at most; it stops at an odd size", ge=1)
    dropout: float = setting(0.5, "share of the innermost two upward stages left out in training", ge=0, le=0.9)
    patch_depth: int = setting(2, "how often the discriminator halves the image before it judges patches", ge=1)
    discriminator_norm: Literal["batch", "none"] = setting("batch", "normalisation in the discriminator")


class Pix2Pix(Architecture):
    api_version = 1
    summary = "images into images: a U-Net, judged patch by patch"
    paper = "Isola et al. 2017, Image-to-Image Translation with Conditional Adversarial Networks, arXiv:1611.07004"
    paired = True
    Config = Pix2PixConfig

    def build(self, config: Pix2PixConfig, spec: DataSpec) -> GAN:
        from ganzoo_pix2pix.gan import L1GAN
        from ganzoo_pix2pix.networks import PatchDiscriminator, UNet

        return L1GAN(UNet(config, spec), PatchDiscriminator(config, spec), config, spec)

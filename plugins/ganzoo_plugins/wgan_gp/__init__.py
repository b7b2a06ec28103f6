"""Wasserstein GAN with gradient penalty (Gulrajani et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.plugin import Architecture, BackboneConfig, DataSpec, LossName, PenaltyName, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class WGANGPConfig(BackboneConfig):
    variants: ClassVar[Variants] = {
        "preset=paper": {
            "backbone": "resnet",
            "width": 64,
            "latent_dim": 128,
            "generator_lr": 2e-4,
            "discriminator_lr": 2e-4,
            "steps": 100_000,
            "lr_decay": "linear",
            "lr_decay_images": 32_000_000,  # all 100,000 steps
        }
    }

    loss: LossName = "wasserstein"
    penalty: PenaltyName = "gradient"
    discriminator_steps: int = 5
    generator_lr: float = 1e-4
    discriminator_lr: float = 1e-4
    beta1: float = 0.0
    beta2: float = 0.9


class WGANGP(Architecture):
    api_version = 2
    summary = "a Wasserstein critic whose slope is held at 1 by a gradient penalty"
    paper = "Gulrajani et al. 2017, Improved Training of Wasserstein GANs, arXiv:1704.00028"
    Config = WGANGPConfig
    check_settings: ClassVar = {"width": 8}

    def build(self, config: WGANGPConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo.nn import backbone_networks

        return GAN(*backbone_networks(config, spec, pool="mean"), config, spec)

"""Spectrally normalised GAN (Miyato et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.plugin import Architecture, BackboneConfig, DataSpec, LossName, Networks, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class SNGANConfig(BackboneConfig):
    variants: ClassVar[Variants] = {
        "preset=paper": {
            "backbone": "resnet",
            "width": 64,
            "latent_dim": 128,
            "discriminator_steps": 5,
            "generator_lr": 2e-4,
            "discriminator_lr": 2e-4,
            "beta1": 0.0,
            "beta2": 0.9,
            "steps": 100_000,
            "lr_decay": "linear",
            "lr_decay_images": 32_000_000,  # all 100,000 steps
        }
    }

    loss: LossName = "hinge"
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    spectral_norm: Networks = "discriminator"


class SNGAN(Architecture):
    api_version = 2
    summary = "spectral norm in the discriminator and the hinge loss; the usual baseline"
    paper = "Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks, arXiv:1802.05957"
    Config = SNGANConfig
    check_settings: ClassVar = {"width": 8}

    def build(self, config: SNGANConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo.nn import backbone_networks

        return GAN(*backbone_networks(config, spec), config, spec)

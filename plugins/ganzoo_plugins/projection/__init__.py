"""Projection discriminator (Miyato and Koyama 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.errors import UsageError
from ganzoo.plugin import Architecture, BackboneConfig, DataSpec, LossName, Networks, NormName, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class ProjectionConfig(BackboneConfig):
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
        },
        "discriminator_norm=batch": {"spectral_norm": "none", "loss": "nonsaturating"},
    }

    loss: LossName = "hinge"
    generator_lr: float = 1e-3
    discriminator_lr: float = 1e-3
    spectral_norm: Networks = "discriminator"
    discriminator_norm: NormName = setting(
        "none", "batch: batch norm instead of spectral norm in DCGAN's discriminator"
    )

    def check(self) -> None:
        super().check()
        if self.discriminator_norm == "batch" and self.backbone != "dcgan":
            raise UsageError(
                f"discriminator_norm=batch with backbone={self.backbone}: only DCGAN's discriminator has batch norm. "
                "Choose backbone=dcgan, or discriminator_norm=none."
            )


class Projection(Architecture):
    api_version = 2
    summary = "class-conditional: conditional batch norm, and a projection on the label's embedding"
    paper = "Miyato and Koyama 2018, cGANs with Projection Discriminator, arXiv:1802.05637"
    conditional = True
    Config = ProjectionConfig
    check_settings: ClassVar = {"width": 8}

    def build(self, config: ProjectionConfig, spec: DataSpec) -> GAN:
        from ganzoo.gan import GAN
        from ganzoo.nn import backbone_networks

        return GAN(*backbone_networks(config, spec, norm=config.discriminator_norm == "batch"), config, spec)

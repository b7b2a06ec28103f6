"""Progressive growing (Karras et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, PenaltyName, Preset, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class PGGANConfig(Config):
    variants: ClassVar[Variants] = {
        "preset=paper": {
            "loss": "wasserstein",
            "generator_lr": 1e-3,
            "discriminator_lr": 1e-3,
            "channel_base": 16_384,
            "channel_max": 512,
            "latent_dim": 512,
            "grow": 800_000,
            "steps": 750_000,
        },
        "loss=wasserstein": {"penalty": "gradient", "penalty_weight": 10.0, "penalty_interval": 1},
    }

    penalty: PenaltyName = "r1"
    penalty_weight: float = 1.0
    penalty_interval: int = 4
    latent_dim: int = 64
    batch_size: int = 16
    generator_lr: float = 2e-3
    discriminator_lr: float = 2e-3
    beta1: float = 0.0
    beta2: float = 0.99
    preset: Preset = setting("small", "small: minutes on a CPU, with R1; paper: published networks and loss, for a GPU")
    grow: int = setting(
        4_000, "images for which each resolution is faded in, and again for which it trains; 0: all at once", ge=0
    )
    drift: float = setting(0.001, "weight of the squared logits of real images, which keeps them near 0", ge=0)
    channel_base: int = setting(512, "channels of feature maps times their side", ge=64)
    channel_max: int = setting(128, "but no more channels than this", ge=1)


class PGGAN(Architecture):
    api_version = 2
    summary = "progressive growing: one resolution after the other is faded in while it trains"
    paper = (
        "Karras et al. 2018, Progressive Growing of GANs for Improved Quality, Stability, and Variation, "
        "arXiv:1710.10196"
    )
    Config = PGGANConfig
    check_settings: ClassVar = {"channel_base": 64, "channel_max": 8, "latent_dim": 8, "grow": 16}

    def expected_failures(self, config: Any) -> dict[str, str]:  # type: ignore[override]
        return {"gradients": "layers of larger resolutions join later"} if config.grow > config.batch_size else {}

    def build(self, config: PGGANConfig, spec: DataSpec) -> GAN:
        from ganzoo_plugins.pggan.networks import Discriminator, Generator, GrowingGAN

        return GrowingGAN(Generator(config, spec), Discriminator(config, spec), config, spec)

"""BigGAN (Brock et al. 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, LossName, Networks, Preset, StandingSampling, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class BigGANConfig(Config):
    variants: ClassVar[Variants] = {
        "preset=paper": {"width": 96, "embedding": 128, "discriminator_steps": 5, "steps": 100_000}
    }

    loss: LossName = "hinge"
    spectral_norm: Networks = "both"
    preset: Preset = setting("small", "small: hours on a CPU; paper: StudioGAN's networks for CIFAR-10, for a GPU")
    latent_dim: int = 80
    width: int = setting(16, "channels of the layer next to the image (up to 32 pixels: twice and 4 times)", ge=1)
    embedding: int = setting(32, "length of the label's embedding, which all norms share", ge=1)


@dataclass(frozen=True, kw_only=True)
class BigGANSampling(StandingSampling):
    truncation: float | None = setting(None, "noise beyond this absolute value is drawn again; none: no bound", gt=0)


class BigGAN(Architecture):
    api_version = 2
    summary = "class-conditional: attention, and noise that enters at every scale with the label"
    paper = "Brock et al. 2019, Large Scale GAN Training for High Fidelity Natural Image Synthesis, arXiv:1809.11096"
    conditional = True
    Config = BigGANConfig
    Sampling = BigGANSampling
    check_settings: ClassVar = {"width": 4, "embedding": 4, "latent_dim": 8}

    def build(self, config: BigGANConfig, spec: DataSpec) -> GAN:
        from ganzoo_plugins.biggan.networks import Generator, TruncatedGAN, discriminator

        return TruncatedGAN(Generator(config, spec), discriminator(config, spec), config, spec)

"""WaveGAN (Donahue et al. 2019): raw audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, Field, LossName, PenaltyName, Preset, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class WaveGANConfig(Config):
    variants: ClassVar[Variants] = {
        "preset=paper": {
            "width": 64,
            "batch_size": 64,
            "generator_lr": 1e-4,
            "discriminator_lr": 1e-4,
            "steps": 200_000,
        }
    }

    loss: LossName = "wasserstein"
    penalty: PenaltyName = "gradient"
    batch_size: int = 16
    discriminator_steps: int = 5
    generator_lr: float = 2e-4
    discriminator_lr: float = 2e-4
    beta2: float = 0.9
    preset: Preset = setting("small", "small: an hour on a CPU; paper: published networks and settings, for a GPU")
    width: int = setting(16, "channels of the layer next to the audio; doubled at every further stage", ge=1)
    shuffle: int = setting(2, "samples by which phase shuffle moves the critic's features; 0 for none", ge=0, le=64)


class WaveGAN(Architecture):
    api_version = 2
    summary = "raw audio from one-dimensional convolutions, with phase shuffle in the critic"
    paper = "Donahue et al. 2019, Adversarial Audio Synthesis, arXiv:1802.04208"
    kinds = ("audio",)
    Config = WaveGANConfig
    check_settings: ClassVar = {"width": 4}

    def example(self, config: WaveGANConfig) -> DataSpec:
        samples = 16384 if config.preset == "paper" else 256
        return DataSpec(target=Field("audio", (1, samples), {"sample_rate": 16000}))

    def build(self, config: WaveGANConfig, spec: DataSpec) -> GAN:
        from ganzoo_plugins.wavegan.networks import Discriminator, Generator, UniformNoise

        return UniformNoise(Generator(config, spec), Discriminator(config, spec), config, spec)

"""WaveGAN (Donahue et al. 2019): raw audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, Field, LossName, PenaltyName, Preset, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


WASSERSTEIN: dict[str, Any] = {
    "penalty": "gradient",
    "penalty_weight": 10.0,
    "penalty_interval": 1,
    "discriminator_steps": 5,
    "generator_lr": 1e-4,
    "discriminator_lr": 1e-4,
    "beta2": 0.9,
}


@dataclass(frozen=True, kw_only=True)
class WaveGANConfig(Config):
    variants: ClassVar[Variants] = {
        "loss=wasserstein": WASSERSTEIN,
        "preset=paper": {
            **WASSERSTEIN,
            "loss": "wasserstein",
            "width": 64,
            "batch_size": 64,
            "steps": 200_000,
        },
    }

    # a step of these takes about a fifth of the time of five critic steps with a gradient penalty
    loss: LossName = "relativistic"
    penalty: PenaltyName = "r1r2"
    penalty_weight: float = 0.2
    penalty_interval: int = 8
    batch_size: int = 16
    generator_lr: float = 6e-4
    discriminator_lr: float = 6e-4
    beta2: float = 0.99
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
        given = {"label": Field("labels", (), {"classes": 10})} if self.conditional else {}
        return DataSpec(target=Field("audio", (1, samples), {"sample_rate": 16000}), given=given)

    def build(self, config: WaveGANConfig, spec: DataSpec) -> GAN:
        from ganzoo_plugins.wavegan.networks import Discriminator, Generator, UniformNoise

        return UniformNoise(Generator(config, spec), Discriminator(config, spec), config, spec)


class ConditionalWaveGAN(WaveGAN):
    api_version = 2
    summary = "wavegan for recordings with class labels"
    paper = WaveGAN.paper
    conditional = True
    Config = WaveGANConfig

"""Boundary equilibrium GAN (Berthelot et al. 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, Preset, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class BEGANConfig(Config):
    variants: ClassVar[Variants] = {
        "preset=paper": {
            "width": 64,
            "steps": 500_000,
            "generator_lr": 8e-5,
            "discriminator_lr": 8e-5,
            "beta1": 0.9,  # BEGAN-tensorflow has an option of 0.5, which does not reach its optimizer
            "diversity": 0.5,
            "balance_lr": 0.001,
        }
    }

    loss: Literal["energy"] = setting("energy", "the balanced difference of reconstruction errors")
    preset: Preset = setting("small", "small: minutes on a CPU; paper: published networks and settings, for a GPU")
    width: int = setting(16, "channels of the largest feature maps (n)", ge=1)
    latent_dim: int = 64
    batch_size: int = 16
    generator_lr: float = 4e-4
    discriminator_lr: float = 4e-4
    diversity: float = setting(1.0, "error of generated images relative to real ones at equilibrium", gt=0, le=1)
    balance_lr: float = setting(0.01, "rate at which the weight of generated images adapts (lambda)", gt=0)


class BEGAN(Architecture):
    api_version = 2
    summary = "an auto-encoder as discriminator, in an equilibrium that measures convergence"
    paper = "Berthelot et al. 2017, Boundary Equilibrium Generative Adversarial Networks, arXiv:1703.10717"
    Config = BEGANConfig
    check_settings: ClassVar = {"width": 4, "latent_dim": 8}

    def build(self, config: BEGANConfig, spec: DataSpec) -> GAN:
        from ganzoo_plugins.began.networks import AutoEncoder, BalancedGAN, Generator

        return BalancedGAN(Generator(config, spec), AutoEncoder(config, spec), config, spec)

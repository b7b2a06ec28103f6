"""StyleGAN2 (Karras et al. 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ganzoo.config import setting
from ganzoo.errors import UsageError
from ganzoo.plugin import Architecture, Config, DataSpec, PenaltyName, Sampling, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN

PUBLISHED: dict[str, Any] = {"latent_dim": 512, "channel_max": 512, "ema_half_life": 500_000}


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Config(Config):
    variants: ClassVar[Variants] = {
        "preset=cifar": PUBLISHED
        | {"channel_base": 32_768, "residual": False, "stddev_group": 32}
        | {"penalty_weight": 0.01, "path_length": 0.0, "mixing": 0.0},
        "preset=auto": PUBLISHED | {"channel_base": 16_384, "penalty_weight": 0.0032},
        "preset=paper": PUBLISHED | {"channel_base": 32_768, "mapping_layers": 8, "penalty_weight": 10.0},
    }

    penalty: PenaltyName = "r1"
    penalty_weight: float = 1.0
    penalty_interval: int = 16
    path_length: float = 2.0
    path_length_interval: int = 4
    latent_dim: int = 64
    batch_size: int = 32
    generator_lr: float = 2.5e-3
    discriminator_lr: float = 2.5e-3
    beta1: float = 0.0
    beta2: float = 0.99
    preset: Literal["small", "cifar", "auto", "paper"] = setting(
        "small", "small: for a CPU; cifar, auto, paper: configurations of the authors' code, for a GPU"
    )
    mixing: float = setting(0.9, "probability that a batch has two styles, in training", ge=0, le=1)
    mapping_layers: int = setting(2, "layers between noise and style", ge=1)
    channel_base: int = setting(512, "channels of feature maps times their side", ge=64)
    channel_max: int = setting(128, "but no more channels than this", ge=1)
    residual: bool = setting(True, "shortcuts in the discriminator")
    stddev_group: int = setting(4, "images whose standard deviation the discriminator sees", ge=1)


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Sampling(Sampling):
    truncation: float = setting(1.0, "distance of styles from their mean (psi); below 1, images are more typical", ge=0)


class StyleGAN2(Architecture):
    api_version = 2
    summary = "styles modulate convolutions; lazy R1 and path length; truncation when it samples"
    paper = "Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN, arXiv:1912.04958"
    Config = StyleGAN2Config
    Sampling = StyleGAN2Sampling
    check_settings: ClassVar = {"channel_base": 64, "channel_max": 8, "latent_dim": 8}
    expected_failures: ClassVar = {"accumulate": "noise is drawn for every pixel, and D sees statistics of the batch"}

    def build(self, config: StyleGAN2Config, spec: DataSpec) -> GAN:
        if config.zcr and config.mixing:
            raise UsageError(
                f"zcr={config.zcr:g} compares images of noise nearby, but mixing={config.mixing:g} gives them styles "
                "of other noise. Choose mixing=0 or zcr=0."
            )
        from ganzoo_plugins.stylegan2.networks import Discriminator, Generator, StyleGAN

        return StyleGAN(Generator(config, spec), Discriminator(config, spec), config, spec)


class ConditionalStyleGAN2(StyleGAN2):
    api_version = 2
    summary = "stylegan2 for images with class labels"
    paper = "Karras et al. 2020, Training Generative Adversarial Networks with Limited Data, arXiv:2006.06676"
    conditional = True

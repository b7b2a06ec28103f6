"""CycleGAN (Zhu et al. 2017): translation between two sets of images that do not belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, Field, Preset, Sampling, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class CycleGANConfig(Config):
    variants: ClassVar[Variants] = {
        "preset=paper": {"width": 64, "blocks": 9, "patch_halvings": 3, "batch_size": 1},
    }

    loss: Literal["least_squares", "nonsaturating", "minimax", "hinge"] = setting("least_squares", "adversarial loss")
    penalty: Literal["none"] = setting("none", "not available: two discriminators learn from images of a pool")
    discriminator_steps: int = setting(1, "always 1: the discriminators learn from the translators' images", ge=1, le=1)
    latent_dim: int = setting(1, "not used: translation has no noise", ge=1)
    batch_size: int = 8
    preset: Preset = setting("small", "small: minutes on a CPU; paper: published networks and settings, for a GPU")
    cycle_weight: float = setting(10.0, "weight of the difference after translation there and back (lambda)", ge=0)
    identity_weight: float = setting(
        0.5, "weight of the change that a translator makes to its own targets, relative to cycle_weight", ge=0
    )
    pool: int = setting(50, "translated images that the discriminators remember; 0 for none", ge=0, le=1 << 16)
    width: int = setting(16, "channels of the first layer; doubled at each of two halvings", ge=1)
    blocks: int = setting(4, "residual blocks of a translator; 6 up to 128 pixels, 9 above, in the paper", ge=0)
    patch_halvings: int = setting(
        2, "halvings in the discriminators: 3 for patches of 70x70 pixels, 2 of 34x34", ge=0, le=8
    )


@dataclass(frozen=True, kw_only=True)
class CycleGANSampling(Sampling):
    direction: Literal["there", "back"] = setting("there", "there: from inputs to targets; back: the other way round")


class CycleGAN(Architecture):
    api_version = 2
    summary = "translation between two folders of images without pairs, there and back"
    paper = (
        "Zhu et al. 2017, Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, "
        "arXiv:1703.10593"
    )
    paired = True
    unpaired = True
    steers = ("generator",)
    Config = CycleGANConfig
    Sampling = CycleGANSampling
    check_settings: ClassVar = {"width": 4, "blocks": 1}

    def example(self, config: CycleGANConfig) -> DataSpec:
        return DataSpec(
            target=Field("images", (1, 16, 16)), given={"input": Field("images", (1, 16, 16))}, aligned=False
        )

    def build(self, config: CycleGANConfig, spec: DataSpec) -> GAN:
        from ganzoo_plugins.cyclegan.gan import CycleGame

        return CycleGame(config, spec)

"""BiGAN (Donahue et al. 2017; ALI, Dumoulin et al. 2017): an encoder learns the inverse of the generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ganzoo.config import setting
from ganzoo.plugin import Architecture, Config, DataSpec, Preset, Variants

if TYPE_CHECKING:
    from ganzoo.gan import GAN


@dataclass(frozen=True, kw_only=True)
class BiGANConfig(Config):
    variants: ClassVar[Variants] = {
        "preset=paper": {"widths": (1024, 1024), "batch_size": 128},
        "data=points": {"latent_dim": 2, "batch_size": 256},
    }

    loss: Literal["own"] = setting("own", "that of the paper, eq. 3, in its non-saturating form")
    penalty: Literal["none"] = setting("none", "not available: the discriminator sees pairs of an image and its noise")
    latent_dim: int = 50
    preset: Preset = setting("small", "small: minutes on a CPU; paper: the published widths")
    widths: tuple[int, ...] = setting((512, 512), "hidden layers of generator, encoder and discriminator", ge=1)


class BiGAN(Architecture):
    api_version = 2
    summary = "an encoder, which learns the inverse of the generator, as a third network"
    paper = (
        "Donahue et al. 2017, Adversarial Feature Learning, arXiv:1605.09782; the same game as ALI: Dumoulin et al. "
        "2017, Adversarially Learned Inference, arXiv:1606.00704"
    )
    kinds = ("images", "points")
    Config = BiGANConfig
    check_settings: ClassVar = {"widths": (16,)}

    def build(self, config: BiGANConfig, spec: DataSpec) -> GAN:
        from ganzoo_plugins.bigan.networks import BiGANGame

        return BiGANGame(config, spec)

"""The contract between ganzoo and its plugins. This module imports neither torch nor numpy: listing must be fast.

A plugin package declares entry points:

    [project.entry-points."ganzoo.architectures"]
    mygan = "my_package:MyGAN"          # a subclass of Architecture

    [project.entry-points."ganzoo.datasets"]
    mydata = "my_package:MyData"        # a subclass of Dataset

and likewise for modalities, losses, penalties, augmentations, metrics and loggers, which `ganzoo.data.modality`,
`ganzoo.losses`, `ganzoo.penalties`, `ganzoo.augmentations`, `ganzoo.evaluation.metrics` and
`ganzoo.training.callbacks` look up.

The name of the entry point is the name users type. Import torch inside `build` or in a module that `build` imports,
not at the top of the card's module.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from ganzoo.core import entry_points
from ganzoo.core.config import setting
from ganzoo.core.conversion import OneOf
from ganzoo.core.errors import UsageError, did_you_mean
from ganzoo.core.spec import DataKind, DataLocation, DataSpec, LoadedData, Split

if TYPE_CHECKING:
    from torch import nn

API_VERSION = 2
"""The version of this contract. A card states the version it was written for."""
SUPPORTED_VERSIONS = (1, 2)
"""The versions whose cards can be used."""


def names_in(group: str, *others: str) -> OneOf:
    """The choices of a setting that names a plugin of `group`, after `others` that are no plugins."""
    return OneOf(
        entry_points.KINDS[group],
        lambda: (*others, *entry_points.choices(group)),
        lambda name: entry_points.shortest_name(group, name),
    )


LossName = Annotated[str, names_in(entry_points.LOSSES)]
"""A loss of any installed package."""
PenaltyName = Annotated[str, names_in(entry_points.PENALTIES, "none", "clip")]
"""A penalty of any installed package, weight clipping, or none."""
AugmentationName = Annotated[str, names_in(entry_points.AUGMENTATIONS, "none")]
"""An augmentation of any installed package, or none."""
OptimizerName = Literal["adam", "rmsprop"]
NormName = Literal["batch", "none"]
Networks = Literal["none", "generator", "discriminator", "both"]
Backbone = Literal["dcgan", "resnet"]
Preset = Literal["small", "paper"]
Decay = Literal["none", "linear", "cosine"]
Variants = Mapping[str, Mapping[str, Any]]
WITHOUT_TARGET = ("wasserstein", "hinge", "relativistic", "relativistic_average", "energy")
"""Losses that compare scores, so that there is no label to smooth."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """The settings of every architecture. Subclass it to add fields with `setting` or to change defaults."""

    variants: ClassVar[Variants] = {}
    """Defaults that depend on another setting, `{"penalty=gradient": {"optimizer": "adam"}}`, or on the kind of data,
    `{"data=points": {"latent_dim": 2}}`."""

    loss: LossName = setting("nonsaturating", "adversarial loss")
    penalty: PenaltyName = setting("none", "discriminator regularisation")
    penalty_weight: float = setting(10.0, "weight of penalty=gradient (lambda), r1 or r1r2 (gamma)", ge=0)
    penalty_half_life: int = setting(0, "half-life in images of penalty_weight; 0 keeps it constant", ge=0)
    penalty_interval: int = setting(1, "apply the penalty every N steps, N times as strong", ge=1)
    path_length: float = setting(0.0, "weight of the penalty on the generator's path length; 0: none", ge=0)
    path_length_interval: int = setting(4, "apply path_length every N steps, N times as strong", ge=1)
    lecam: float = setting(0.0, "weight of the LeCam penalty on the discriminator's logits; 0: none", ge=0)
    lecam_start: int = setting(1000, "step from which lecam acts", ge=0)
    orthogonal: float = setting(0.0, "weight of the generator's orthogonal regularisation; 0: none", ge=0)
    top_k: float = setting(1.0, "smallest share of images, the best ones, that the generator learns from", gt=0, le=1)
    zcr: float = setting(0.0, "weight of zCR: logits must not change as the noise does a little; 0: none", ge=0)
    zcr_generator: float = setting(0.5, "with zcr: weight of the generator's term, by which images do change", ge=0)
    zcr_noise: float = setting(0.05, "with zcr: standard deviation of the change of the noise", gt=0)
    clip: float = setting(0.01, "with penalty=clip: bound on the absolute value of weights", gt=0)
    augmentation: AugmentationName = setting("none", "augmentation of all images that the discriminator sees")
    spectral_norm: Networks = setting("none", "networks whose weights are divided by their largest singular value")
    pack: int = setting(1, "examples that the discriminator judges together (PacGAN)", ge=1, le=64)
    real_label: float = setting(1.0, "target for real images; below 1 is one-sided label smoothing", gt=0, le=1)
    latent_dim: int = setting(100, "length of the noise vector z ~ N(0, 1)", ge=1, le=65536)
    image_size: int | None = setting(None, "image side in pixels; none keeps the data set's size", ge=1, le=4096)
    batch_size: int = setting(64, "images per discriminator step", ge=1, le=1 << 20)
    accumulate: int = setting(1, "microbatches per batch (gradient accumulation)", ge=1, le=1 << 20)
    steps: int = setting(10_000, "generator steps, unless --steps, --epochs or --minutes is given", ge=1)
    discriminator_steps: int = setting(1, "discriminator steps per generator step (n_critic)", ge=1)
    optimizer: OptimizerName = setting("adam", "optimizer of both networks")
    generator_lr: float = setting(2e-4, "learning rate of the generator", gt=0)
    discriminator_lr: float = setting(2e-4, "learning rate of the discriminator", gt=0)
    lr_half_life: int = setting(0, "half-life in images of both learning rates; 0 keeps them constant", ge=0)
    lr_decay: Decay = setting("none", "how both learning rates fall to 0 over lr_decay_images")
    lr_decay_images: int = setting(0, "images, real ones seen by the discriminator, after which lr_decay ends", ge=0)
    beta1: float = setting(0.5, "Adam's decay of the gradient mean", ge=0, le=0.9999)
    beta2: float = setting(0.999, "Adam's decay of the squared gradient", ge=0, le=0.999999)
    ema_half_life: int = setting(10_000, "half-life in images of the generator's moving average; 0 turns it off", ge=0)

    def check(self) -> None:
        """Raise UsageError for contradictory settings. Called by `config.make`; overrides call `super().check()`."""
        normalised = self.spectral_norm in ("discriminator", "both")
        if self.loss == "wasserstein" and self.penalty == "none" and not normalised:
            raise UsageError(
                "loss=wasserstein with penalty=none: unless the critic's slope is bounded, this loss has no minimum. "
                "Choose penalty=gradient, clip, r1 or r1r2."
            )
        if self.penalty == "clip" and self.loss != "wasserstein":
            raise UsageError(
                f"penalty=clip with loss={self.loss}: clipping bounds the slope that the Wasserstein distance needs; "
                "with any other loss it only prevents D from learning. Choose loss=wasserstein, or penalty=r1."
            )
        if self.penalty_interval > 1 and self.penalty in ("none", "clip"):
            raise UsageError(
                f"penalty_interval={self.penalty_interval} with penalty={self.penalty}: it has no effect. Choose "
                "penalty_interval=1, or penalty=r1."
            )
        if self.pack > 1 and self.batch_size % (self.pack * self.accumulate):
            parts = f" with accumulate={self.accumulate}" if self.accumulate > 1 else ""
            raise UsageError(
                f"pack={self.pack}{parts} does not divide batch_size={self.batch_size}. Choose a batch size that is a "
                f"multiple of {self.pack * self.accumulate}."
            )
        relativistic = self.loss in ("relativistic", "relativistic_average")
        if relativistic and (self.lecam or self.top_k < 1):
            name = "lecam" if self.lecam else "top_k"
            raise UsageError(
                f"{name}={getattr(self, name)} with loss={self.loss}: it needs the logits of real and generated images "
                f"by themselves, and this loss takes their differences. Choose {name}={0 if self.lecam else 1}, or "
                "loss=nonsaturating."
            )
        if (self.lr_decay == "none") != (self.lr_decay_images == 0):
            raise UsageError(
                f"lr_decay={self.lr_decay} with lr_decay_images={self.lr_decay_images}: one has no effect without the "
                "other. Choose both, such as lr_decay=linear and lr_decay_images=3200000, or neither."
            )
        if self.lr_decay != "none" and self.lr_half_life:
            raise UsageError(
                f"lr_decay={self.lr_decay} with lr_half_life={self.lr_half_life}: these are two schedules for the same "
                "learning rates. Choose lr_half_life=0, or lr_decay=none."
            )
        if self.real_label < 1 and self.loss in WITHOUT_TARGET:
            raise UsageError(
                f"real_label={self.real_label} with loss={self.loss}: this loss compares scores and has no target "
                "to smooth. Choose real_label=1."
            )


@dataclass(frozen=True, kw_only=True)
class ConvolutionalConfig(Config):
    """The settings of architectures built from the stages of `ganzoo.nn.dcgan`."""

    variants: ClassVar[Variants] = {
        "penalty=gradient": {"discriminator_norm": "none"},
        "penalty=r1": {"discriminator_norm": "none"},
        "penalty=r1r2": {"discriminator_norm": "none"},
        "penalty=dragan": {"discriminator_norm": "none"},
        "penalty=cr": {"discriminator_norm": "none"},
        "penalty=bcr": {"discriminator_norm": "none"},
        "spectral_norm=discriminator": {"discriminator_norm": "none"},
        "spectral_norm=both": {"discriminator_norm": "none"},
    }

    width: int = setting(64, "channels of the layer next to the image; doubled at every further stage", ge=1)
    discriminator_norm: NormName = setting("batch", "normalisation in the discriminator")


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The settings of sampling, `ganzoo sample RUN --set truncation=0.5`. Subclass it to add fields with `setting`."""


@dataclass(frozen=True, kw_only=True)
class StandingSampling(Sampling):
    """The settings of sampling for generators with batch norm."""

    standing: int = setting(
        0, "batches to generate beforehand, whose statistics batch norm then uses; 0: those of training", ge=0
    )


@dataclass(frozen=True, kw_only=True)
class BackboneConfig(Config):
    """The settings of architectures whose networks `ganzoo.nn.backbone_networks` builds."""

    backbone: Backbone = setting("dcgan", "networks: DCGAN's strided convolutions, or SNGAN's residual blocks")
    preset: Preset = setting("small", "small: minutes on a CPU; paper: published networks and settings, for a GPU")
    width: int = setting(
        32, "channels of the layer next to the image (resnet up to 32 pixels: twice and 4 times)", ge=1
    )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings that suit some data better than the defaults: `ganzoo train ARCHITECTURE --recipe NAME`.

    A run records the settings, not the recipe.
    """

    summary: str
    """For which data, and what these settings were measured to give."""
    settings: Mapping[str, Any]
    shape: tuple[int, ...] | None = None
    """The shape of the examples it was measured with; None if it is not tied to one."""
    examples: range | None = None
    """The numbers of training examples it is for; None if any."""

    def fits(self, shape: tuple[int, ...], examples: int) -> bool:
        """Whether data of this shape and size are those it was measured for; False if it names neither."""
        named = self.shape is not None or self.examples is not None
        return named and self.shape in (None, shape) and (self.examples is None or examples in self.examples)


def find_recipe(card: Any, architecture: str, name: str) -> Recipe:
    """The recipe `name` of the card of `architecture`. Raises UsageError, with the nearest name, if there is none."""
    recipes: Mapping[str, Recipe] = card.recipes
    if not recipes:
        raise UsageError(f"{architecture} has no recipes: leave out --recipe.")
    if not isinstance(name, str) or name not in recipes:
        raise UsageError(f"Unknown recipe {name!r}. {did_you_mean(str(name), recipes)}")
    return recipes[name]


class Architecture:
    """The card of an architecture: its description and settings, separate from its networks.

    Subclasses set the class attributes and implement `build`. `api_version` must be a literal number in the subclass:
    the version of the contract that the plugin was written for.
    """

    api_version: ClassVar[int]
    summary: ClassVar[str]
    paper: ClassVar[str]
    conditional: ClassVar[bool] = False
    """Whether the networks use class labels. Data without labels are then refused."""
    paired: ClassVar[bool] = False
    """Whether the networks use an input image. Data without pairs are then refused."""
    given: ClassVar[tuple[str, ...]] = ()
    """What the networks are given, by name: "label" (short: `conditional = True`), "input" (`paired = True`), or other
    arrays of the data set. Of one, the condition is its tensor, of several a dict of tensors by name."""
    unpaired: ClassVar[bool] = False
    """Whether the networks learn from inputs and targets that do not belong together."""
    unknown_labels: ClassVar[bool] = False
    """Whether some labels may be -1, unknown."""
    kinds: ClassVar[tuple[DataKind, ...]] = ("images",)
    """The modalities of the target that `build` supports. For shapes that it does not, it raises UsageError."""
    Config: ClassVar[type[Any]] = Config
    recipes: ClassVar[Mapping[str, Recipe]] = {}
    """Settings for some data, by a name such as "colour"."""
    Sampling: ClassVar[type[Any]] = Sampling
    """The settings that `sample` takes; the GAN reads them from `self.sampling`."""
    check_settings: ClassVar[Mapping[str, Any]] = {}
    """Settings for networks small enough for `ganzoo check` to be quick: `{"width": 8}`."""
    steers: ClassVar[tuple[str, ...]] = ("generator", "discriminator")
    """Which networks see the condition, if there is one."""
    expected_failures: ClassVar[Any] = {}
    """Checks of `ganzoo check` that the architecture cannot pass, with the reasons: `{"compile": "..."}`; or a method
    that returns them for some settings: `def expected_failures(self, config)`."""

    def example(self, config: Any) -> DataSpec | None:
        """The data to check the architecture with; by default the smallest images that `build` accepts."""
        return None

    def build(self, config: Any, spec: DataSpec) -> nn.Module:
        """A `ganzoo.GAN` for `spec`, initialised from torch's global random state. Import torch inside this method."""
        raise NotImplementedError


def expected_failures(card: Any, config: Any) -> Mapping[str, str]:
    """The checks that a card with these settings cannot pass, with the reasons."""
    declared = card.expected_failures
    failures: Mapping[str, str] = declared(config) if callable(declared) else declared
    return failures


class Dataset:
    """The card of a data set. `load` may import numpy, torch and PIL; the module of the card may not.

    If `argument` is set, e.g. to "PATH", users write `name:PATH` and `load` receives the path.
    """

    api_version: ClassVar[int]
    summary: ClassVar[str]
    source: ClassVar[str]
    """The origin of the data: authors, year, licence."""
    kind: ClassVar[DataKind] = "images"
    """The modality of the target."""
    argument: ClassVar[str | None] = None
    paired: ClassVar[bool] = False
    """Whether an input comes with every example, for architectures that start from one."""
    expected_failures: ClassVar[Mapping[str, str]] = {}
    """Like those of an architecture."""

    def absolute(self, argument: str) -> str:
        """`argument` independent of the working directory, as stored in runs."""
        return os.path.abspath(os.path.expanduser(argument)) if self.argument == "PATH" else argument

    def on_disk(self, where: DataLocation) -> bool:
        """Whether `load` works without a download. Must be fast: look at file names, not contents."""
        return True

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> LoadedData:
        """`ImageData`, resized to `image_size` unless it is None, `PointData` or `ArrayData`. Raises DataError."""
        raise NotImplementedError

"""An architecture under test: its networks for any data, and training states on small digits or points."""

from __future__ import annotations

import copy
import functools
import traceback
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal, get_origin

import numpy as np
import torch
from torch import Tensor, nn

from ganzoo.core import config as configs
from ganzoo.core.errors import UsageError
from ganzoo.core.plugin import Architecture
from ganzoo.core.spec import INPUT, LABEL, TARGET, DataKind, DataSpec, Split
from ganzoo.data.arrays import ArrayData
from ganzoo.data.digits import scikit_learn_digits
from ganzoo.data.images import ImageData, resize, sha256_of
from ganzoo.data.modality import get_modality
from ganzoo.data.normalization import encode
from ganzoo.data.points import PointData
from ganzoo.gan import GAN, Condition, Logs, condition_of
from ganzoo.gan.build import channels_last, not_a_gan
from ganzoo.gan.packing import pack
from ganzoo.losses import LOSSES, PENALTIES
from ganzoo.testing.kit import CheckError, first_line, location
from ganzoo.training.batches import Batches
from ganzoo.training.loop import train_step
from ganzoo.training.run_config import spec_to_config
from ganzoo.training.state import TrainingState

if TYPE_CHECKING:
    from ganzoo.data import Data

SIZES = (8, 16, 28, 32, 64)
CLASSES = 10
MADE_UP = 256
"""Examples of data that are made up."""
BATCH = 16
STEPS = 20
BUILD_ADVICE = "return networks for the given config and spec from build(), or raise UsageError with a size that works."
"""Replaces the advice of whichever check calls build()."""


class ArchitectureFixture:
    """The architecture of `card` with the settings `overrides`."""

    def __init__(self, card: Architecture, overrides: dict[str, Any]):
        self.card = card
        self.overrides = overrides

    def config(self, kind: DataKind | None = None, **overrides: Any) -> Any:
        """The settings under test, with small batches, for `kind` or else the first kind of data on the card."""
        settings = {"batch_size": BATCH, **self.card.check_settings, **self.overrides, **overrides}
        return configs.make(self.card.Config, settings, kind or self.card.kinds[0])

    def spec(self, channels: int, size: int, classes: int = CLASSES) -> DataSpec:
        """A spec as training would pass it: with classes or input images only if the card requires them."""
        inputs = (
            4 - channels if self.card.paired and size else 0
        )  # deliberately not the number of channels of the images
        return DataSpec(channels, size, classes if self.card.conditional else 0, inputs)

    def build(self, spec: DataSpec | None = None, seed: int = 0, **overrides: Any) -> GAN:
        """New networks from `seed`, by default for the spec `smallest`."""
        spec = spec or self.smallest
        config = self.config(spec.kind, **overrides)
        torch.manual_seed(seed)
        gan = self._built(config, spec)
        if config.pack > 1:
            pack(gan, lambda packed: self._built(config, packed))
        gan.sampling_type = self.card.Sampling
        return channels_last(gan)

    def _built(self, config: Any, spec: DataSpec) -> GAN:
        try:
            gan: object = self.card.build(config, spec)
        except UsageError:
            raise
        except Exception as error:  # third-party code may raise anything
            place = location(traceback.extract_tb(error.__traceback__))
            raise CheckError(f"build() raises {first_line(error)}{place}", BUILD_ADVICE) from error
        if not isinstance(gan, GAN):
            raise CheckError(not_a_gan(gan), BUILD_ADVICE)
        return gan

    @functools.cached_property
    def smallest(self) -> DataSpec:
        """The card's example, or the smallest images that the architecture accepts; points if it accepts no images."""
        example = self.card.example(self.config())
        if example is not None:
            return example
        if "images" not in self.card.kinds:
            return self.spec(2, 0)
        refusals = []
        for size in SIZES:
            for channels in (1, 3):
                try:
                    self.build(self.spec(channels, size))
                except UsageError as refusal:
                    refusals.append(str(refusal))
                else:
                    return self.spec(channels, size)
        raise CheckError(
            f"it refuses images of {', '.join(map(str, SIZES))} pixels a side. The first refusal: {refusals[0]}",
            "support at least one of these sizes.",
        )

    def state(
        self, seed: int = 0, precision: str = "fp32", spec: DataSpec | None = None, **overrides: Any
    ) -> TrainingState:
        """The training state of new networks, before the first step."""
        return self.training_state(self.build(spec, seed, **overrides), seed, precision)

    def training_state(self, gan: GAN, seed: int = 0, precision: str = "fp32") -> TrainingState:
        """The training state of `gan` before the first step."""
        return TrainingState(gan.train(), seed, precision)

    def step(self, state: TrainingState) -> dict[str, Tensor]:
        """Run one step of the training loop on digits or points and return its logs."""
        logs = train_step(state, self.batches(state.gan))
        state.step += 1
        return logs

    def data(self, spec: DataSpec) -> Data:
        """Digits, or points on a circle, as `spec` describes them; what its modalities make up for anything else."""
        if "fields" in spec_to_config(spec):
            return made_up(spec)
        if spec.kind == "points":
            return _circle(spec.channels, self.card.conditional)
        return _digits(spec.channels, spec.size, self.card.conditional, spec.inputs)

    def batches(self, gan: GAN) -> Batches:
        """The data in batches, as training passes them to `gan`."""
        return Batches(self.data(gan.spec), gan.config.batch_size, 0, gan.device, gan.config.accumulate)

    def condition(self, gan: GAN, n: int) -> Condition:
        """Labels, input images, both, or None: the condition for a batch of n images."""
        parts = {name: encode(values, gan.spec.given[name]) for name, values in self.given(gan, n).items()}
        if self.card.conditional:
            parts = {LABEL: (torch.arange(n) - 1) % gan.spec.classes, **parts}  # the last class is among few labels
        return gan.condition(condition_of(parts), n)

    def sample(self, gan: GAN, n: int, seed: int) -> Tensor:
        """Samples, as users draw them."""
        return gan.sample(n, seed=seed, given=self.given(gan, n))

    def given(self, gan: GAN, n: int) -> dict[str, Tensor]:
        """The first n examples of what networks are given, except labels, as a data set stores them."""
        return self.data(gan.spec).only(self.card.given).given_with(np.arange(n))

    def inputs(self, gan: GAN, n: int) -> Tensor | None:
        """The first n input images, uint8, or None if the architecture is not paired."""
        return self.given(gan, n).get(INPUT)

    @functools.cached_property
    def trained(self) -> dict[str, tuple[TrainingState, list[tuple[Hashable, Logs]]]]:
        """For each kind of data, the state after STEPS steps, and the phase and the logs of every step."""
        specs = {"images": self.smallest, "points": self.spec(2, 0)}
        result: dict[str, tuple[TrainingState, list[tuple[Hashable, Logs]]]] = {}
        for kind in self.card.kinds:
            state = self.state(spec=specs.get(kind, self.smallest))
            history: list[tuple[Hashable, Logs]] = []
            for _ in range(STEPS):
                phase = state.gan.phase(state.step)
                history.append((phase, self.step(state)))
            result[kind] = state, history
        return result

    @functools.cached_property
    def judges_images(self) -> bool:
        """Whether training calls the discriminator as the contract says, with images and their condition."""
        return self.judged(self.build()) is None

    def judged(self, gan: GAN) -> tuple[Any, ...] | None:
        """The arguments of the discriminator's first call in a step, if they are not images and their condition."""
        other = copy.deepcopy(gan).train()
        other.discriminator.register_forward_pre_hook(_raise_call, with_kwargs=True)
        try:
            self.step(TrainingState(other, 0))
            return None
        except _Call as call:
            args, keywords = call.args
        condition = self.condition(gan, 1)
        given = [*args[1:], *keywords.values()]
        usual = len(args) >= 1 and isinstance(args[0], Tensor) and args[0].shape[1:] == gan.spec.shape
        usual = usual and len(given) <= 1 and all((value is None) == (condition is None) for value in given)
        return None if usual else args

    def logits(self, gan: GAN, images: Tensor) -> Tensor:
        """The discriminator's output for these images, or for what training passes to it if that is something else."""
        if self.judges_images:
            return gan.discriminator(images, self.condition(gan, len(images)))  # type: ignore[no-any-return]
        return gan.discriminator(*(self.judged(gan) or ()))  # type: ignore[no-any-return]

    def extreme_logits(self, gan: GAN) -> Tensor:
        """The discriminator's output where any sigmoid at its end is saturated."""
        if self.judges_images:
            return self.logits(gan, torch.randn(64, *gan.spec.shape) * 1e6)
        arguments = self.judged(gan) or ()
        is_float = [isinstance(value, Tensor) and value.is_floating_point() for value in arguments]
        scaled = [value * 1e6 if change else value for value, change in zip(arguments, is_float)]
        return gan.discriminator(*scaled)  # type: ignore[no-any-return]

    def choices(self, name: str) -> tuple[Any, ...]:
        """The values of the setting `name` to try: the one under test, or else all choices.

        Of losses and penalties, which any package can add, these are the built-in ones and the card's default.
        """
        if name in self.overrides:
            return (self.overrides[name],)
        setting = next(s for s in configs.settings(self.card.Config) if s.name == name)
        if get_origin(setting.type) is Literal:
            return setting.choices
        built_in = {*LOSSES, "none", "clip", *PENALTIES, setting.default}
        return tuple(choice for choice in setting.choices if choice in built_in)


class _Call(Exception):  # noqa: N818
    """Ends a step at a call, whose arguments it holds."""


def _raise_call(module: nn.Module, args: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    raise _Call(args, keywords)


@functools.cache
def made_up(spec: DataSpec, split: Split = "train") -> ArrayData:
    """Examples of every field, different from each other and from those of the other split."""
    fields = {TARGET: spec.target, **spec.given}
    rng = np.random.default_rng(0 if split == "train" else 1)
    arrays = {name: get_modality(f.modality).made_up(f, MADE_UP, rng) for name, f in fields.items()}
    return ArrayData(
        arrays.pop(TARGET), "made up", split, arrays, {name: f.modality for name, f in fields.items()},
        {name: f.facts for name, f in fields.items()}, tuple(map(str, range(spec.classes))), spec.aligned,
    )  # fmt: skip


@functools.cache
def _digits(channels: int, size: int, labelled: bool, inputs: int) -> ImageData:
    """scikit-learn's handwritten digits, which need no download, and coarser versions as input images."""
    small, digits = scikit_learn_digits()
    images = np.repeat(resize(small, size), channels, axis=1)
    blurred = np.repeat(resize(resize(small, 4), size), inputs, axis=1) if inputs else None
    labels, names = (digits, tuple("0123456789")) if labelled else (None, ())
    sha256 = sha256_of(images, labels)
    return ImageData(images, labels, names, "digits of scikit-learn", "train", sha256, inputs=blurred)


@functools.cache
def _circle(dimensions: int, labelled: bool) -> PointData:
    """Ten clusters on a circle, one for each class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(CLASSES, size=1000)
    angles = labels * (2 * np.pi / CLASSES)
    points = 0.05 * rng.standard_normal((1000, dimensions))
    points[:, :2] += np.stack([np.cos(angles), np.sin(angles)], axis=1)
    names = tuple(map(str, range(CLASSES))) if labelled else ()
    values, classes = points.astype(np.float32), labels if labelled else None
    return PointData(values, classes, names, "points on a circle", "train", sha256_of(values, classes))

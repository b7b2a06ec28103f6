"""An architecture under test: its networks for any images, and trainings of it on small digits."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo import config as configs
from ganzoo.data.images import ImageData, resize, sha256_of
from ganzoo.errors import UsageError
from ganzoo.gan import GAN
from ganzoo.plugin import Architecture, DataSpec
from ganzoo.testing.kit import CheckError
from ganzoo.training.batches import Batches
from ganzoo.training.loop import train_step
from ganzoo.training.state import TrainingState

SIZES = (8, 16, 28, 32, 64)
CLASSES = 10
BATCH = 16


class Subject:
    """The architecture of `card` with the settings `overrides`, as users would give them."""

    def __init__(self, card: Architecture, overrides: dict[str, Any]):
        self.card = card
        self.overrides = overrides

    def config(self, **overrides: Any) -> Any:
        """The settings under test, in small batches."""
        return configs.make(self.card.Config, {"batch_size": BATCH, **self.overrides, **overrides})

    def spec(self, channels: int, size: int, classes: int = CLASSES) -> DataSpec:
        """The images as the architecture is told of them: without classes where it is not conditional."""
        return DataSpec(channels, size, classes if self.card.conditional else 0)

    def build(self, spec: DataSpec | None = None, seed: int = 0, **overrides: Any) -> GAN:
        """New networks from `seed`, for `smallest` where no spec is given."""
        config = self.config(**overrides)
        torch.manual_seed(seed)
        gan = self.card.build(config, spec or self.smallest)
        return gan.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    @functools.cached_property
    def smallest(self) -> DataSpec:
        """The smallest images that the architecture accepts, grey ones if it can."""
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
            f"it refuses square images of {', '.join(map(str, SIZES))} pixels. The first refusal: {refusals[0]}",
            "build networks for at least one of these sizes.",
        )

    def state(self, seed: int = 0, precision: str = "fp32", **overrides: Any) -> TrainingState:
        """A training of new networks, before its first step."""
        return TrainingState(self.build(seed=seed, **overrides).train(), seed, precision)

    def step(self, state: TrainingState) -> dict[str, Tensor]:
        """One step of the training loop on digits; its signals."""
        signals = train_step(state, self.batches(state.gan))
        state.step += 1
        return signals

    def batches(self, gan: GAN) -> Batches:
        """Digits as training would give them to `gan`."""
        data = _digits(gan.spec.channels, gan.spec.size, gan.conditional)
        return Batches(data, gan.config.batch_size, 0, gan.device)

    def choices(self, name: str) -> tuple[Any, ...]:
        """The values of the setting `name` to be tried: the one under test, or else all it offers."""
        if name in self.overrides:
            return (self.overrides[name],)
        return next(s.choices for s in configs.settings(self.card.Config) if s.name == name)


@functools.cache
def _digits(channels: int, size: int, labelled: bool) -> ImageData:
    """scikit-learn's handwritten digits, which need no file."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    grey = resize(np.round(bunch.images * (255 / 16)).astype(np.uint8)[:, None], size)
    images, labels = np.repeat(grey, channels, axis=1), bunch.target.astype(np.int64) if labelled else None
    names = tuple(map(str, range(CLASSES))) if labelled else ()
    return ImageData(images, labels, names, "digits of scikit-learn", "train", sha256_of(images, labels))

"""What a metric looks at: samples of a GAN beside real images, or points."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganzoo.core.spec import Split
from ganzoo.data import ImageData, PointData
from ganzoo.evaluation.feature_extractor import Judge
from ganzoo.gan import GAN

if TYPE_CHECKING:
    from ganzoo.data import Data
    from ganzoo.data.points import Mixture

MOST_REFERENCES = 50_000


class Need(Enum):
    """What a metric asks of the data or of the GAN; the value completes "it needs ..."."""

    IMAGES = "images"
    LABELS = "a data set with labels"
    CONDITIONAL = "a conditional GAN"
    UNCONDITIONAL = "an unconditional GAN: a conditional one draws the classes it is asked for"
    PAIRS = "a GAN that starts from images"
    CODES = "a GAN with categories of its own, found without labels"
    STACKED = "images whose channels are images of a labelled data set"
    POINTS = "points of a known density"


class Pool:
    """Images uint8 [N, C, S, S] of one origin and their labels, in an order without meaning: the first n are a fair
    choice. Where the data are points, `images` are float32 [N, D]. `what` names them in messages and protocols:
    "samples", "test images"."""

    def __init__(self, subject: Subject, images: npt.NDArray[Any], labels: npt.NDArray[np.int64] | None, what: str):
        self._subject = subject
        self.images = images
        self.labels = labels
        self.what = what

    def __len__(self) -> int:
        return len(self.images)

    def first(self, count: int) -> Pool:
        """A fair choice of at most `count` images."""
        labels = None if self.labels is None else self.labels[:count]
        return self if count >= len(self) else Pool(self._subject, self.images[:count], labels, self.what)

    @cached_property
    def features(self) -> Tensor:
        """The judge's features, float32 [N, D], on the subject's device. Only where the data have labels."""
        return self._judged[0]

    @cached_property
    def classes(self) -> Tensor:
        """The class the judge finds in each image, int64 [N], on the CPU."""
        return self._judged[1].argmax(1).cpu()

    @cached_property
    def _judged(self) -> tuple[Tensor, Tensor]:
        return self._subject.judge(self.images)


class Subject:
    """A GAN and the data it was trained on, as the metrics see them. All is made on first use and kept.

    samples: `count` images drawn with `seed`, classes in turn where the GAN is conditional; of a GAN that starts from
        images, what it makes of those of `pairs`, at most as many as there are.
    pairs: for such a GAN, input images of the reference split and their targets.
    reference: the real images that samples are compared with, by default the test split.
    control: real images of the other split, which give what real data score; None where there is one split only.
    train: all images the GAN was trained on.
    """

    def __init__(
        self,
        gan: GAN,
        train: Data,
        test: Data | None,
        count: int,
        seed: int = 0,
        reference: Split | None = None,
        progress: Callable[[str], None] | None = None,
        data_dir: str | os.PathLike[str] | None = None,
    ):
        self.gan = gan
        self.data = train
        self.test = test
        self.count = count
        self.seed = seed
        self.progress = progress
        self.data_dir = data_dir
        sides = (train, test) if test is None or reference == "train" else (test, train)
        self._reference: Data = sides[0]
        self._control: Data | None = sides[1]

    def afresh(self) -> Subject:
        """The same data, samples to be drawn anew: the GAN has been trained on."""
        self.__dict__.pop("samples", None)
        return self

    @property
    def device(self) -> torch.device:
        return self.gan.device

    @property
    def has(self) -> frozenset[Need]:
        """The needs that are met."""
        if self.gan.paired:
            steered = [Need.PAIRS]
        elif self.gan.spec.classes:
            steered = [Need.CONDITIONAL]
        else:  # categories it has, if any, are its own
            steered = [Need.UNCONDITIONAL, *([Need.CODES] if self.gan.conditional else [])]
        if isinstance(self.data, PointData):
            return frozenset([*steered, *([Need.POINTS] if self.data.mixture else [])])
        labels = [Need.LABELS] if self.data.spec.classes > 1 else []
        stacked = [Need.STACKED] if self.data.channels_of else []
        return frozenset([Need.IMAGES, *steered, *labels, *stacked])

    @property
    def mixture(self) -> Mixture:
        """What the points were drawn from; only for metrics that need points."""
        assert isinstance(self.data, PointData)
        assert self.data.mixture is not None
        return self.data.mixture

    @cached_property
    def samples(self) -> Pool:
        if self.gan.paired:
            inputs, _ = self.pairs
            return Pool(self, self.gan.sample(len(inputs), seed=self.seed, inputs=inputs).numpy(), None, "outputs")
        labels = self.gan.class_labels(self.count)
        images = self.gan.sample(self.count, seed=self.seed).numpy()
        return Pool(self, images, None if labels is None else labels.numpy(), "samples")

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """uint8 [N, C', S, S] and [N, C, S, S], in an order without meaning."""
        assert isinstance(self._reference, ImageData)
        chosen = self.rng("inputs").permutation(len(self._reference))[: self.count]
        return self._reference.examples(chosen)

    @cached_property
    def reference(self) -> Pool:
        return self._shuffled(self._reference)

    @cached_property
    def control(self) -> Pool | None:
        return None if self._control is None else self._shuffled(self._control)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """samples, reference, and control where there is one."""
        return (self.samples, self.reference) if self.control is None else (self.samples, self.reference, self.control)

    @cached_property
    def train(self) -> Pool:
        return Pool(self, self.data.values, self.data.labels, f"train {self.data.spec.kind}")

    @cached_property
    def judge(self) -> Judge:
        """The classifier of this data set; trained on first use, see `ganzoo.evaluation.feature_extractor`."""
        assert isinstance(self.data, ImageData)
        assert self.test is None or isinstance(self.test, ImageData)
        return Judge.of(self.data, self.test, self.device, self.progress)

    def rng(self, name: str) -> np.random.Generator:
        """Random numbers for the purpose `name`, the same for the same seed."""
        return np.random.default_rng([self.seed, *hashlib.sha256(name.encode()).digest()[:8]])

    def protocol(self, **more: Any) -> dict[str, Any]:
        """The part of a protocol that comparisons with real images share, and `more`."""
        return {
            "samples": len(self.samples), "seed": self.seed, "reference": len(self.reference),
            "split": self._reference.split,
        } | more  # fmt: skip

    def _shuffled(self, data: Data) -> Pool:
        chosen = self.rng(data.split).permutation(len(data))[:MOST_REFERENCES]
        labels = None if data.labels is None else data.labels[chosen]
        return Pool(self, data.values[chosen], labels, f"{data.split} {data.spec.kind}")

"""The input of a metric: samples of a GAN and the real data to compare them with."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganzoo.core.errors import UsageError, did_you_mean
from ganzoo.core.spec import LABEL, UNKNOWN_LABEL, Split
from ganzoo.data.modality import as_images
from ganzoo.data.points import Mixture
from ganzoo.evaluation.feature_extractor import MIN_LABELLED, MIN_SIDE, FeatureExtractor
from ganzoo.gan import GAN

if TYPE_CHECKING:
    from ganzoo.data import Data

MAX_REFERENCES = 50_000
MIN_CONTROL = 100
"""A smaller split gives no score of real data: metrics would compare samples in as small numbers with it."""
SIGNIFICANCE = 0.05
"""The classifier is used if its accuracy would come about by chance with a smaller probability than this."""


class Need(Enum):
    """A requirement of a metric on the data or the GAN; the value completes the sentence "it needs ..."."""

    IMAGES = "images"
    LABELS = "a data set with labels"
    CONDITIONAL = "a conditional GAN"
    UNCONDITIONAL = "an unconditional GAN, because the classes of a conditional GAN are chosen by the caller"
    PAIRS = "an image-to-image GAN trained on pairs"
    CODES = "a GAN that learns its own categories without labels"
    STACKED = "images whose channels are images of a labelled data set"
    POINTS = "points from a known density"
    DISCRIMINATOR = "a trained discriminator"


class SampleSet:
    """Images or other examples with their labels, shuffled, so that the first n are a random subset.

    values: as a data set stores them: images uint8 [N, C, H, W], points float32 [N, D].
    labels: int64 [N], or None.
    name: how messages and protocols refer to the set: "samples", "test images".
    """

    def __init__(
        self, context: EvaluationContext, values: npt.NDArray[Any], labels: npt.NDArray[np.int64] | None, name: str
    ):
        self._context = context
        self.values = values
        self.labels = labels
        self.name = name

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def images(self) -> npt.NDArray[np.uint8]:
        """The values as images uint8 [N, C, H, W], such as spectrograms of audio. Only for metrics of images."""
        images = as_images(self.values, self._context.data.spec.target)
        assert images is not None
        return images

    def first(self, count: int) -> SampleSet:
        """Return a random subset of at most `count` elements."""
        labels = None if self.labels is None else self.labels[:count]
        return self if count >= len(self) else SampleSet(self._context, self.values[:count], labels, self.name)

    @cached_property
    def features(self) -> Tensor:
        """The classifier's features, float32 [N, D], on the context's device. Only for data with labels."""
        return self._extracted[0]

    @cached_property
    def classes(self) -> Tensor:
        """The class the classifier predicts for each image, int64 [N], on the CPU. Only for data with labels."""
        return self._extracted[1].argmax(1).cpu()

    @cached_property
    def _extracted(self) -> tuple[Tensor, Tensor]:
        return self._context.feature_extractor(self.images)


class EvaluationContext:
    """A GAN and the data it was trained on, as the metrics see them. Everything is computed on first use and cached.

    samples: `count` samples drawn with `seed`, cycling through the classes if the GAN is conditional; for an
        image-to-image GAN its outputs for the inputs of `pairs`, at most as many as there are.
    pairs: for an image-to-image GAN, input images of the reference split and their targets.
    reference: the real data that samples are compared with, by default the test split.
    control: real data of the other split, which give the score of real data; None if there is only one split, or
        the other has fewer than MIN_CONTROL examples.
    train: all data the GAN was trained on.
    sampling: sampling settings of the architecture that differ from their defaults.
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
        sampling: Mapping[str, Any] | None = None,
    ):
        if reference not in (None, "train", "test"):
            raise UsageError(f"There is no split {reference!r}. {did_you_mean(str(reference), ('train', 'test'))}")
        if reference == "test" and test is None:
            raise UsageError(f"{train.name} has no test split to compare with; leave the reference out, or say train.")
        self.gan = gan
        self.data = train
        self.test = test
        self.count = count
        self.seed = seed
        self.progress = progress
        self.data_dir = data_dir
        self.sampling = dict(sampling or {})
        self._changed: dict[str, Any] = {"sampling": self.sampling} if sampling else {}
        sides = (train, test) if test is None or reference == "train" else (test, train)
        self._reference: Data = sides[0]
        self._control: Data | None = sides[1]

    def resample(self) -> EvaluationContext:
        """Discard the cached samples, after further training of the GAN."""
        self.__dict__.pop("samples", None)
        return self

    @property
    def device(self) -> torch.device:
        return self.gan.device

    @property
    def has(self) -> frozenset[Need]:
        """The needs that are met."""
        if self.gan.spec.given.keys() - {LABEL}:
            kind = [Need.PAIRS] if self.gan.paired and self.data.aligned else []
        elif self.gan.spec.classes and self.gan.classes == self.gan.spec.classes:
            kind = [Need.CONDITIONAL]
        else:  # its categories, if any, are its own
            kind = [Need.UNCONDITIONAL, *([Need.CODES] if self.gan.conditional else [])]
        if as_images(self.data.values[:1], self.data.spec.target) is None:
            trained = [Need.DISCRIMINATOR] if hasattr(self.gan, "discriminator") and self.gan.config.pack == 1 else []
            return frozenset([*kind, *trained, *([Need.POINTS] if self.data.mixture else [])])
        labels = [Need.LABELS] if self._labelled() else []
        stacked = [Need.STACKED] if self.data.channels_of else []
        return frozenset([Need.IMAGES, *kind, *labels, *stacked])

    def _labelled(self) -> bool:
        """Whether a classifier can be trained and tested."""
        return self.data.spec.classes > 1 and self.why_no_classifier is None

    @property
    def why_no_classifier(self) -> str | None:
        """Why there is no classifier of these classes, as a predicate, or None if there is one, or are no classes."""
        if self.data.spec.classes < 2:
            return None
        for side in (self.data, self.test):
            if side is not None and (side.labels is None or not (side.labels != UNKNOWN_LABEL).any()):
                return f"needs labels of the {side.split} data, which have none"
        if (known := np.count_nonzero(self.data.labels != UNKNOWN_LABEL)) < MIN_LABELLED:
            kind = self.data.spec.kind
            return f"needs at least {MIN_LABELLED} train {kind} with a label for its classifier, but there are {known}"
        if (size := min(self.data.spec.shape[1:], default=MIN_SIDE)) < MIN_SIDE:
            return f"needs images of at least {MIN_SIDE} pixels a side for its classifier, but these have {size}"
        return None

    @cached_property
    def why_classifier_is_useless(self) -> str | None:
        """Why the classifier's figures would mean nothing, as a predicate, or None; trains it on first use."""
        from scipy.special import bdtrc  # not above: it takes as long to import as numpy and more

        assert self.data.labels is not None
        labels = (self.data if self.test is None else self.test).labels
        assert labels is not None
        labels = labels[labels != UNKNOWN_LABEL]
        chance = float(np.bincount(labels).max() / len(labels))
        extractor = self.feature_extractor
        correct = round(extractor.accuracy * extractor.tested_on)
        if bdtrc(correct - 1, extractor.tested_on, chance) < SIGNIFICANCE:  # the binomial distribution's upper tail
            return None
        return (
            f"needs a classifier that is better than chance, but the one of these classes is right on {correct:,} of "
            f"{extractor.tested_on:,} unseen images, where naming the most frequent class is on {chance:.0%}"
        )

    @property
    def mixture(self) -> Mixture:
        """The distribution of the points; only for metrics with `Need.POINTS`."""
        assert self.data.mixture is not None
        return self.data.mixture

    @cached_property
    def samples(self) -> SampleSet:
        if self.gan.spec.given.keys() - {LABEL}:
            chosen = self._chosen
            given = self._reference.only(self.gan.spec.given).given_with(chosen)
            labels = self.gan.class_labels(len(chosen))
            outputs = self.gan.sample(len(chosen), labels, self.seed, given=given, **self._changed).numpy()
            return SampleSet(self, outputs, None if labels is None else labels.numpy(), "outputs")
        labels = self.gan.class_labels(self.count)
        values = self.gan.sample(self.count, seed=self.seed, **self._changed).numpy()
        return SampleSet(self, values, None if labels is None else labels.numpy(), "samples")

    @cached_property
    def pairs(self) -> tuple[Tensor, Tensor]:
        """Inputs and the targets that belong to them, as the data set stores them, shuffled."""
        return self._reference.examples(self._chosen)

    @cached_property
    def _chosen(self) -> npt.NDArray[np.int64]:
        """The examples of the reference that outputs are made for."""
        size = min([len(self._reference), *map(len, self._reference.arrays.values())])
        return self.rng("inputs").permutation(size)[: self.count]

    @cached_property
    def reference(self) -> SampleSet:
        return self._shuffled(self._reference)

    @cached_property
    def control(self) -> SampleSet | None:
        if self._control is None or len(self._control) < MIN_CONTROL:
            return None
        return self._shuffled(self._control)

    @property
    def sample_sets(self) -> tuple[SampleSet, ...]:
        """samples, reference, and control if there is one."""
        return (self.samples, self.reference) if self.control is None else (self.samples, self.reference, self.control)

    @cached_property
    def train(self) -> SampleSet:
        return SampleSet(self, self.data.values, self.data.labels, f"train {self.data.spec.kind}")

    @cached_property
    def feature_extractor(self) -> FeatureExtractor:
        """The classifier of this data set, trained on first use; see `ganzoo.evaluation.feature_extractor`."""
        return FeatureExtractor.load_or_train(self.data, self.test, self.device, self.progress)

    def rng(self, name: str) -> np.random.Generator:
        """Return a random generator for the purpose `name`, determined by it and the seed."""
        return np.random.default_rng([self.seed, *hashlib.sha256(name.encode()).digest()[:8]])

    def protocol(self, **entries: Any) -> dict[str, Any]:
        """Return the protocol entries that all comparisons with real data share, with `entries` added."""
        return {
            "samples": len(self.samples), "seed": self.seed, "reference": len(self.reference),
            "split": self._reference.split, **({"sampling": self.sampling} if self.sampling else {}),
        } | entries  # fmt: skip

    def _shuffled(self, data: Data) -> SampleSet:
        chosen = self.rng(data.split).permutation(len(data))[:MAX_REFERENCES]
        labels = None if data.labels is None else data.labels[chosen]
        return SampleSet(self, data.values[chosen], labels, f"{data.split} {data.spec.kind}")

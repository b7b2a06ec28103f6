"""Modes of images whose channels are separate images, each with a class: stacked MNIST has 10^3 modes."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from ganzoo import data
from ganzoo.core.spec import Split
from ganzoo.evaluation.context import EvaluationContext, Need
from ganzoo.evaluation.feature_extractor import FeatureExtractor
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue
from ganzoo.evaluation.metrics.modes import uniform_divergence

MAX_SAMPLES = 26_000


class StackedModes(Metric):
    name = "stacked_modes"
    summary = "number of class combinations, one class per channel, in samples, and their KL divergence from uniform"
    paper = "Metz et al. 2017, arXiv:1611.02163; Lin et al. 2018, arXiv:1712.04086"
    needs = (Need.STACKED,)

    def measure(self, context: EvaluationContext) -> MetricResult:
        extractor = _channel_extractor(context)
        n = min(MAX_SAMPLES, len(context.samples), len(context.reference))
        counts, real = (
            count_combinations(images.first(n).images, extractor) for images in (context.samples, context.reference)
        )
        values = {
            "stacked_modes": MetricValue(float((counts > 0).sum()), "higher", float((real > 0).sum())),
            "stacked_kl": MetricValue(uniform_divergence(counts), "lower", uniform_divergence(real)),
        }
        return MetricResult(values, context.protocol(**extractor.protocol) | {"samples": n, "reference": n})


def count_combinations(images: npt.NDArray[np.uint8], extractor: FeatureExtractor) -> npt.NDArray[np.int64]:
    """Count the `images` [N, C, S, S] with each combination of K classes, one per channel: int64 [K^C]."""
    channels = images.shape[1]
    logits = extractor(images.reshape(-1, 1, *images.shape[2:]))[1]
    classes = logits.argmax(1).cpu().numpy().reshape(-1, channels)
    combination = np.ravel_multi_index(tuple(classes.T), (logits.shape[1],) * channels)
    return np.bincount(combination, minlength=logits.shape[1] ** channels)


def _channel_extractor(context: EvaluationContext) -> FeatureExtractor:
    """The classifier of the data set that the channels come from."""
    name, size = context.data.channels_of, context.data.spec.size
    assert name is not None
    train, test = (
        data.open(name, split=split, image_size=size, data_dir=context.data_dir) for split in get_args(Split)
    )
    return FeatureExtractor.load_or_train(train, test, context.device, context.progress)

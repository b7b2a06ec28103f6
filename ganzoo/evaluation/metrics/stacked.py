"""Modes of images whose channels are images of their own, each of a class: stacked MNIST has 10^3 of them."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from ganzoo import data
from ganzoo.core.spec import Split
from ganzoo.data import ImageData
from ganzoo.evaluation.context import Need, Subject
from ganzoo.evaluation.feature_extractor import Judge
from ganzoo.evaluation.metric import Figure, Finding, Metric
from ganzoo.evaluation.metrics.modes import uniform_divergence

SAMPLES = 26_000


class StackedModes(Metric):
    name = "stacked_modes"
    summary = "combinations of classes, one for each channel, that samples show, and KL(samples || even shares)"
    paper = "Metz et al. 2017, arXiv:1611.02163; Lin et al. 2018, arXiv:1712.04086"
    needs = (Need.STACKED,)

    def measure(self, subject: Subject) -> Finding:
        judge = self._judge(subject)
        n = min(SAMPLES, len(subject.samples), len(subject.reference))
        found, real = (count_combinations(pool.first(n).images, judge) for pool in (subject.samples, subject.reference))
        figures = {
            "stacked_modes": Figure(float((found > 0).sum()), "higher", float((real > 0).sum())),
            "stacked_kl": Figure(uniform_divergence(found), "lower", uniform_divergence(real)),
        }
        return Finding(figures, subject.protocol(**judge.protocol) | {"samples": n, "reference": n})

    def _judge(self, subject: Subject) -> Judge:
        assert isinstance(subject.data, ImageData)
        name, size = subject.data.channels_of, subject.data.spec.size
        assert name is not None
        parts = [data.open(name, split=split, image_size=size, data_dir=subject.data_dir) for split in get_args(Split)]
        train, test = (part for part in parts if isinstance(part, ImageData))
        return Judge.of(train, test, subject.device, subject.progress)


def count_combinations(images: npt.NDArray[np.uint8], judge: Judge) -> npt.NDArray[np.int64]:
    """How many of `images` [N, C, S, S] show each combination of K classes, one a channel, int64 [K^C]."""
    channels = images.shape[1]
    answers = judge(images.reshape(-1, 1, *images.shape[2:]))[1]
    classes = answers.argmax(1).cpu().numpy().reshape(-1, channels)
    combination = np.ravel_multi_index(tuple(classes.T), (answers.shape[1],) * channels)
    return np.bincount(combination, minlength=answers.shape[1] ** channels)

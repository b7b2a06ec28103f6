"""Memorisation: share of samples that copy a training image.

The distance to the nearest training image alone says little: unseen real images have a near one as well, and blurred
samples are near to all of them. A copy is much nearer to one training image than to the next 49. The ratio of these
distances is compared with the lowest 1% of the ratios of held-out real images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ganzoo.data import imaging
from ganzoo.data.images import resize
from ganzoo.evaluation.context import EvaluationContext, Need, SampleSet
from ganzoo.evaluation.metric import Metric, MetricResult, MetricValue
from ganzoo.evaluation.metrics.neighbours import nearest

MAX_SAMPLES = 5_000
MAX_SIDE = 32
RUNNERS_UP = 49
THRESHOLD = 0.01
"""Quantile of the held-out images' ratios below which a sample counts as a copy."""
CONFIDENCE = 0.999
SHOWN = 10
SHOWN_SIDE = 56


class Memorisation(Metric):
    name = "memorisation"
    summary = "share of samples as close to one training image as the closest 1% of held-out images"
    paper = "Meehan et al. 2020, arXiv:2004.05675; Carlini et al. 2023, arXiv:2301.13188, section 4.2"
    min_samples = 100
    headline = ("copies_pixels", "copies_features")

    def measure(self, context: EvaluationContext) -> MetricResult:
        samples = context.samples.images[:MAX_SAMPLES]
        held_out = _held_out(context)
        train = context.train
        spaces = {
            "pixels": _compare(_pixels(samples), _pixels(held_out.images), _pixels(train.images), held_out),
        }
        if Need.LABELS in context.has and context.why_classifier_is_useless is None:
            features = context.samples.features[:MAX_SAMPLES]
            spaces["features"] = _compare(features, held_out.features, train.features, held_out)
        values = {}
        for name, space in spaces.items():
            values[f"copies_{name}"] = MetricValue(space.copies, "lower", THRESHOLD)
            values[f"nearest_{name}"] = MetricValue(space.median, "real", space.held_out_median)
        protocol = context.protocol(
            held_out=f"{len(held_out)} {held_out.name}", train=len(context.train), runners_up=RUNNERS_UP,
            mark=f"{THRESHOLD:.0%} of held-out images",
            picture=f"{SHOWN} samples above their nearest training images, by {', then by '.join(spaces)}",
            pixels=f"at most {MAX_SIDE} a side, 0 to 1, Euclidean",
            **(context.feature_extractor.protocol if "features" in spaces else {}),
        ) | {"samples": len(samples)}  # fmt: skip
        details: dict[str, Any] = {name: {"expected_at_most": space.limit} for name, space in spaces.items()}
        picture = _closest_pairs(samples, context.train.images, spaces)
        return MetricResult(values, protocol, details, _verdict(spaces), {"memorisation": picture})

    def inapplicable_reason(self, context: EvaluationContext) -> str | None:
        if len(context.train) < 2 * RUNNERS_UP:
            return f"needs at least {2 * RUNNERS_UP} train images, but there are {len(context.train)}"
        return super().inapplicable_reason(context)


@dataclass(frozen=True, eq=False)
class FeatureSpace:
    """Nearest training images in pixels or features.

    Distances and indices [N, 50] of the training images nearest to samples; distances [M, 50] for held-out images.
    """

    distances: Tensor
    indices: Tensor
    held_out: Tensor

    @property
    def median(self) -> float:
        """Median distance of samples to the nearest training image."""
        return float(self.distances[:, 0].median())

    @property
    def held_out_median(self) -> float:
        return float(self.held_out[:, 0].median())

    @property
    def ratios(self) -> Tensor:
        """The nearest-distance ratio [N] of each sample."""
        return nearest_distance_ratio(self.distances)

    @property
    def copies(self) -> float:
        """Share of samples whose ratio is below that of 99% of the held-out images."""
        return float((self.ratios < self._threshold[1]).float().mean())

    @property
    def limit(self) -> float:
        """Upper 99.9% confidence bound of `copies` for as many images distributed like the held-out ones."""
        rank, count, drawn = self._threshold[0], len(self.held_out), len(self.distances)
        return beta_binomial_quantile(CONFIDENCE, drawn, rank, count + 1 - rank) / drawn

    @property
    def _threshold(self) -> tuple[int, float]:
        rank = max(1, round(THRESHOLD * len(self.held_out)))
        return rank, float(nearest_distance_ratio(self.held_out).sort().values[rank - 1])


def nearest_distance_ratio(distances: Tensor) -> Tensor:
    """Return the first of ascending distances [N, K], divided by the mean of the others; 0 for an exact copy."""
    return distances[:, 0] / distances[:, 1:].mean(1).clamp_min(1e-12)


def beta_binomial_quantile(share: float, n: int, a: float, b: float) -> int:
    """The smallest k, 0 to n, such that a beta-binomial number of n trials is at most k with probability `share`."""
    from scipy.special import betaln  # scipy.stats would take three times as long to import

    k = np.arange(n + 1)
    log_p = betaln(k + a, n - k + b) - betaln(a, b) - betaln(k + 1, n - k + 1) - np.log(n + 1)
    return int(np.exp(log_p).cumsum().searchsorted(share))


def _compare(samples: Tensor, held_out: Tensor, train: Tensor, origin: SampleSet) -> FeatureSpace:
    distances, indices = nearest(samples, train, RUNNERS_UP + 1)
    own = origin.name.startswith("train ")  # skip each image itself, which is its own nearest neighbour
    others, _ = nearest(held_out, train, RUNNERS_UP + 1 + own)
    return FeatureSpace(distances.cpu(), indices.cpu(), others[:, int(own) :].cpu())


def _verdict(spaces: dict[str, FeatureSpace]) -> str:
    shares = " and ".join(f"{space.copies:.1%} by {name}" for name, space in spaces.items())
    finding = f"{shares} of the samples look like copies of a training image"
    if all(space.copies <= space.limit for space in spaces.values()):
        return f"No sign of memorisation: {finding}, and {THRESHOLD:.0%} of held-out images do."
    limit = max(space.limit for space in spaces.values())
    return f"COPIES OF TRAINING IMAGES: {finding}; chance allows {limit:.1%}. Look at the picture."


def _held_out(context: EvaluationContext) -> SampleSet:
    """Images the GAN was not trained on; if there are none, training images, each compared with all others."""
    for images in (context.reference, context.control):
        if images is not None and images.name.startswith("test "):
            return images.first(MAX_SAMPLES)
    return context.reference.first(MAX_SAMPLES)


def _pixels(images: npt.NDArray[np.uint8]) -> Tensor:
    height, width = images.shape[2:]
    shrink = max(1, max(height, width) / MAX_SIDE)
    small = resize(images, (max(1, round(height / shrink)), max(1, round(width / shrink))))
    return torch.from_numpy(small.astype(np.float32)).flatten(1).div_(255)


def _closest_pairs(
    samples: npt.NDArray[np.uint8], train: npt.NDArray[np.uint8], spaces: dict[str, FeatureSpace]
) -> Tensor:
    """For each space a row of the ten samples with the lowest ratios above a row of their nearest training images."""
    rows = []
    for space in spaces.values():
        chosen = space.ratios.argsort()[:SHOWN]
        rows += [samples[chosen.numpy()], train[space.indices[chosen, 0].numpy()]]
    images = torch.from_numpy(np.concatenate(rows))
    images = images if images.shape[1] in (1, 3, 4) else images[:, : 3 if images.shape[1] > 3 else 1]
    scale = max(1, SHOWN_SIDE // images.shape[-1])
    return imaging.grid(images.repeat_interleave(scale, 2).repeat_interleave(scale, 3), SHOWN)

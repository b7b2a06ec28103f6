"""Memorisation: are samples copies of training images?

Real images that nobody trained on have a nearest training image, too, so its distance alone says little, and blurred
samples are near to everything. What tells is how much nearer the nearest is than its runners-up: a copy has one
training image far ahead of the others. The held-out image in a hundred for which this is most extreme sets the mark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.stats
import torch
from torch import Tensor

from ganzoo.data import imaging
from ganzoo.data.images import resize
from ganzoo.evaluation.context import Need, Pool, Subject
from ganzoo.evaluation.metric import Figure, Finding, Metric
from ganzoo.evaluation.metrics.neighbours import nearest

MOST = 5_000
LARGEST = 32
RUNNERS_UP = 49
MARK = 0.01
CERTAINTY = 0.999
SHOWN = 10
SHOWN_SIZE = 56


class Memorisation(Metric):
    name = "memorisation"
    summary = "share of samples as close to one training image as the closest 1% of held-out images are"
    paper = "Meehan et al. 2020, arXiv:2004.05675; Carlini et al. 2023, arXiv:2301.13188, section 4.2"
    least = 100

    def measure(self, subject: Subject) -> Finding:
        samples = subject.samples.images[:MOST]
        held = _held_out(subject)
        spaces = {"pixels": self._compare(_pixels(samples), _pixels(held.images), _pixels(subject.train.images), held)}
        if Need.LABELS in subject.has:
            train = subject.train.features
            spaces["features"] = self._compare(subject.samples.features[:MOST], held.features, train, held)
        figures = {}
        for name, space in spaces.items():
            figures[f"copies_{name}"] = Figure(space.copies, "lower", MARK)
            figures[f"nearest_{name}"] = Figure(space.median, "real", space.held_out_median)
        protocol = subject.protocol(
            held_out=f"{len(held)} {held.what}", train=len(subject.train), runners_up=RUNNERS_UP,
            mark=f"{MARK:.0%} of held-out images",
            picture=f"{SHOWN} samples above their nearest training images, by {', then by '.join(spaces)}",
            pixels=f"at most {LARGEST} a side, 0 to 1, Euclidean",
            **(subject.judge.protocol if "features" in spaces else {}),
        ) | {"samples": len(samples)}  # fmt: skip
        details: dict[str, Any] = {name: {"expected_at_most": space.limit} for name, space in spaces.items()}
        verdict = _verdict(spaces)
        picture = _pairs(samples, subject.train.images, spaces)
        return Finding(figures, protocol, details, verdict, {"memorisation": picture})

    def why_not(self, subject: Subject) -> str | None:
        if len(subject.train) < 2 * RUNNERS_UP:
            return f"needs at least {2 * RUNNERS_UP} train images, but there are {len(subject.train)}"
        return super().why_not(subject)

    def _compare(self, samples: Tensor, held: Tensor, train: Tensor, origin: Pool) -> Space:
        distances, indices = nearest(samples, train, RUNNERS_UP + 1)
        own = origin.what == "train images"  # each is its own nearest neighbour, which does not count
        others, _ = nearest(held, train, RUNNERS_UP + 1 + own)
        return Space(distances.cpu(), indices.cpu(), others[:, int(own) :].cpu())


@dataclass(frozen=True, eq=False)
class Space:
    """Distances and indices [N, 50] of the training images nearest to samples; distances [M, 50] for held-out ones."""

    distances: Tensor
    indices: Tensor
    held_out: Tensor

    @property
    def median(self) -> float:
        return float(self.distances[:, 0].median())

    @property
    def held_out_median(self) -> float:
        return float(self.held_out[:, 0].median())

    @property
    def lead(self) -> Tensor:
        """How far [N] the nearest training image is ahead: its distance by the mean of the next 49. 0 for a copy."""
        return lead(self.distances)

    @property
    def copies(self) -> float:
        """Share of samples whose nearest training image is further ahead than for 99% of held-out images."""
        return float((self.lead < self._mark[1]).float().mean())

    @property
    def limit(self) -> float:
        """The share that as many images like the held-out ones would not exceed, with 99.9% certainty."""
        rank, count, drawn = self._mark[0], len(self.held_out), len(self.distances)
        return float(scipy.stats.betabinom.ppf(CERTAINTY, drawn, rank, count + 1 - rank)) / drawn

    @property
    def _mark(self) -> tuple[int, float]:
        rank = max(1, round(MARK * len(self.held_out)))
        return rank, float(lead(self.held_out).sort().values[rank - 1])


def lead(distances: Tensor) -> Tensor:
    """The first of distances [N, K], ascending, by the mean of the others; 0 where all are 0."""
    return distances[:, 0] / distances[:, 1:].mean(1).clamp_min(1e-12)


def _verdict(spaces: dict[str, Space]) -> str:
    shares = " and ".join(f"{space.copies:.1%} by {name}" for name, space in spaces.items())
    said = f"{shares} of the samples are as close to one training image as the closest {MARK:.0%} of held-out images"
    if all(space.copies <= space.limit for space in spaces.values()):
        return f"No sign of copying: {said}."
    limit = max(space.limit for space in spaces.values())
    return f"COPIES OF TRAINING IMAGES: {said}; chance allows {limit:.1%}. Look at the picture."


def _held_out(subject: Subject) -> Pool:
    """Images the GAN was not trained on; where there are none, training images, each without itself."""
    for pool in (subject.reference, subject.control):
        if pool is not None and pool.what == "test images":
            return pool.first(MOST)
    return subject.reference.first(MOST)


def _pixels(images: npt.NDArray[np.uint8]) -> Tensor:
    small = resize(images, LARGEST) if images.shape[-1] > LARGEST else images
    return torch.from_numpy(small.astype(np.float32)).flatten(1).div_(255)


def _pairs(samples: npt.NDArray[np.uint8], train: npt.NDArray[np.uint8], spaces: dict[str, Space]) -> Tensor:
    """For each space a row of the ten samples with the greatest lead, above a row of their nearest training images."""
    rows = []
    for space in spaces.values():
        chosen = space.lead.argsort()[:SHOWN]
        rows += [samples[chosen.numpy()], train[space.indices[chosen, 0].numpy()]]
    images = torch.from_numpy(np.concatenate(rows))
    scale = max(1, SHOWN_SIZE // images.shape[-1])
    return imaging.grid(images.repeat_interleave(scale, 2).repeat_interleave(scale, 3), SHOWN)

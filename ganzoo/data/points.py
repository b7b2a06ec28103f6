"""Point data sets, and mixtures of Gaussians with a known density."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ganzoo.core.spec import LABEL, TARGET, Split
from ganzoo.data.arrays import Loaded


@dataclass(frozen=True, eq=False)
class Mixture:
    """An equal mixture of isotropic Gaussians: `means` float64 [K, D] and a common standard deviation `sigma`."""

    means: npt.NDArray[np.float64]
    sigma: float

    def sample(self, n: int, seed: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Draw `n` points, float32 [n, D], and the index of each point's Gaussian, int64 [n]."""
        rng = np.random.default_rng(seed)
        modes = rng.integers(len(self.means), size=n)
        points = self.means[modes] + self.sigma * rng.standard_normal((n, self.means.shape[1]))
        return points.astype(np.float32), modes

    def density(self, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Probability density at `points` [N, D], float64 [N]."""
        squares = np.square(np.asarray(points, np.float64)[:, None] - self.means).sum(axis=2)
        norm = (2 * np.pi * self.sigma**2) ** (self.means.shape[1] / 2)
        density: npt.NDArray[np.float64] = np.exp(-squares / (2 * self.sigma**2)).mean(axis=1) / norm
        return density


@dataclass(frozen=True, eq=False)
class PointData(Loaded):
    """Points, float32 [N, D] with D >= 2, and int64 labels [N] or None.

    Raises `DataError` if the arrays do not have this form.
    """

    points: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    name: str
    split: Split
    sha256: str
    mixture: Mixture | None = None
    """The distribution of the points, if it is known."""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _ = self.fields

    @property
    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        named = {TARGET: self.points, LABEL: self.labels}
        return {name: values for name, values in named.items() if values is not None}

    @property
    def facts(self) -> Mapping[str, tuple[str, Mapping[str, Any]]]:
        return {TARGET: ("points", {}), LABEL: ("labels", {"classes": len(self.class_names)})}

    def only(self, given: Collection[str]) -> PointData:
        return self if LABEL in given else dataclasses.replace(self, labels=None, class_names=())

"""Point data sets, and mixtures of Gaussians with a known density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ganzoo.core.errors import DataError
from ganzoo.core.spec import DataSpec, Split


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
class PointData:
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
    paired: ClassVar[bool] = False
    inputs: ClassVar[None] = None
    corrupt: ClassVar[None] = None

    def __post_init__(self) -> None:
        points = self.points
        if points.dtype != np.float32 or points.ndim != 2 or points.shape[1] < 2 or not len(points):
            raise DataError(
                f"{self.name}: expected float32 points [N, D >= 2], got {points.dtype} {list(points.shape)}."
            )
        if not np.isfinite(points).all() or not points.any():
            raise DataError(f"{self.name}: points must be finite and not all zero.")

    def __len__(self) -> int:
        return len(self.points)

    @property
    def values(self) -> npt.NDArray[np.float32]:
        """The points; the common name for all kinds of data."""
        return self.points

    @property
    def spec(self) -> DataSpec:
        """Dimensions, number of classes, and as scale the largest absolute coordinate, for `Architecture.build`."""
        classes = 0 if self.labels is None else len(self.class_names)
        return DataSpec(self.points.shape[1], 0, classes, scale=float(np.abs(self.points).max()))

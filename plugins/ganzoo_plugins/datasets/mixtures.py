"""Mixtures of Gaussians in the plane, for counting the modes that a GAN drops."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ganzoo.plugin import DataKind, DataLocation, Dataset, Split

if TYPE_CHECKING:
    from ganzoo.data.points import Mixture, PointData

COUNTS = {"train": 100_000, "test": 10_000}
SEEDS = {"train": 0, "test": 1}
PARAMETERS = "as in Srivastava et al. 2017, VEEGAN, arXiv:1705.07761, and Lin et al. 2018, PacGAN, arXiv:1712.04086"


class _Mixture(Dataset):
    kind: ClassVar[DataKind] = "points"
    name: ClassVar[str]

    def mixture(self) -> Mixture:
        raise NotImplementedError

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> PointData:
        from ganzoo.data.images import sha256_of
        from ganzoo.data.points import PointData

        mixture = self.mixture()
        points, modes = mixture.sample(COUNTS[split], SEEDS[split])
        names = tuple(str(mode) for mode in range(len(mixture.means)))
        return PointData(points, modes, names, self.name, split, sha256_of(points, modes), mixture)


class Ring(_Mixture):
    api_version = 2
    summary = "8 Gaussians on a circle of radius 1, standard deviation 0.01: 100,000 + 10,000 points"
    source = PARAMETERS
    name = "ring"

    def mixture(self) -> Mixture:
        import numpy as np

        from ganzoo.data.points import Mixture

        angles = np.arange(8) * (2 * np.pi / 8)
        return Mixture(np.stack([np.cos(angles), np.sin(angles)], axis=1), 0.01)


class Grid(_Mixture):
    api_version = 2
    summary = "25 Gaussians on a 5x5 grid 2 apart, standard deviation 0.05: 100,000 + 10,000 points"
    source = PARAMETERS
    name = "grid"

    def mixture(self) -> Mixture:
        import numpy as np

        from ganzoo.data.points import Mixture

        side = np.arange(-4.0, 5.0, 2.0)
        return Mixture(np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2), 0.05)

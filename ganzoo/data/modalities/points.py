"""Points in two or more dimensions."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ganzoo.core.errors import DataError
from ganzoo.core.files import atomic
from ganzoo.core.spec import Field
from ganzoo.data.modality import Array, Modality, expect


class Points(Modality):
    """float32 [N, D], D >= 2. Networks see them divided by the fact `scale`, the largest absolute coordinate."""

    noun = "points"
    in_grid = False
    suffix = ".csv"
    one_per_file = False

    def example(self) -> Field:
        return Field(self.name, (2,), {"scale": 2.0})

    def field(self, values: Array, facts: Mapping[str, Any]) -> Field:
        fits = values.dtype == np.float32 and values.ndim == 2 and values.shape[1] >= 2 and len(values) > 0
        expect(fits, "float32 points [N, D >= 2]", values)
        if not np.isfinite(values).all() or not values.any():
            raise DataError("points must be finite and not all zero")
        return Field(self.name, tuple(values.shape[1:]), {"scale": float(np.abs(values).max()), **facts})

    def encode(self, values: Tensor, field: Field) -> Tensor:
        return values / scale_of(field)

    def decode(self, outputs: Tensor, field: Field) -> Tensor:
        return outputs.float().mul(scale_of(field)).cpu()

    def picture(
        self, values: Tensor, field: Field, columns: int, real: Tensor | None = None, side: int = 480
    ) -> Tensor:
        """A scatter plot over the `real` points."""
        from ganzoo.data.imaging import scatter

        return scatter(values, scale_of(field), real, side)

    def write(self, values: Tensor, field: Field, path: Path, text: Mapping[str, object]) -> None:
        """A CSV file with a line for each point."""
        with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(values.tolist())

    def made_up(self, field: Field, count: int, rng: np.random.Generator) -> Array:
        """Ten clusters on a circle in the first two dimensions."""
        angles = rng.integers(10, size=count) * (2 * np.pi / 10)
        points = 0.05 * rng.standard_normal((count, *field.shape))
        points[:, :2] += np.stack([np.cos(angles), np.sin(angles)], axis=1)
        return (scale_of(field) * points).astype(np.float32)


def scale_of(field: Field) -> float:
    """What networks see the coordinates divided by."""
    return float(field.facts.get("scale", 1.0))

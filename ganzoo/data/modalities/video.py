"""Video clips of one length and frame rate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo.core.errors import DataError
from ganzoo.core.spec import Field
from ganzoo.data.modality import Array, Modality, expect

HALF = 127.5
SHOWN = 8
"""Frames of a clip in a strip."""


class Video(Modality):
    """uint8 [N, frames, 1 or 3, H, W]; the fact `fps` is the number of frames a second."""

    noun = "clips"
    suffix = ".gif"

    def example(self) -> Field:
        return Field(self.name, (4, 1, 6, 8), {"fps": 10})

    def field(self, values: Array, facts: Mapping[str, Any]) -> Field:
        fits = values.dtype == np.uint8 and values.ndim == 5 and values.shape[2] in (1, 3) and 0 not in values.shape
        expect(fits, "uint8 video [N, frames, 1 or 3, height, width]", values)
        fps = facts.get("fps")
        if not isinstance(fps, (int, float)) or not 0 < fps <= 240:
            raise DataError(f"video needs its fps, the frames a second, up to 240, got {fps!r}")
        return Field(self.name, tuple(values.shape[1:]), dict(facts))

    def encode(self, values: Tensor, field: Field) -> Tensor:
        return values.float().mul_(1 / HALF).sub_(1)

    def decode(self, outputs: Tensor, field: Field) -> Tensor:
        return outputs.float().add(1).mul(HALF).round().clamp(0, 255).to("cpu", torch.uint8)

    def images(self, values: Tensor, field: Field) -> Tensor:
        """Strips uint8 [N, C, H, up to 8 W]: frames evenly spaced over the clip, from left to right."""
        frames = values.shape[1]
        shown = min(SHOWN, frames)
        chosen = values[:, [i * frames // shown for i in range(shown)]]
        return chosen.permute(0, 2, 3, 1, 4).flatten(3)

    def picture(
        self, values: Tensor, field: Field, columns: int, real: Tensor | None = None, side: int = 480
    ) -> Tensor:
        """The strips, in two columns at most."""
        return super().picture(values, field, min(columns, 2), real, side)

    def write(self, values: Tensor, field: Field, path: Path, text: Mapping[str, object]) -> None:
        """An animated GIF: one clip as it is, several side by side, in a grid."""
        from ganzoo.data import film
        from ganzoo.data.imaging import grid

        columns = int(np.ceil(len(values) ** 0.5))
        frames = [grid(frame, columns) if len(values) > 1 else frame[0] for frame in values.unbind(1)]
        film.write(frames, path, min(fps_of(field), film.MAX_FPS[self.suffix]), text, enlarge=len(values) > 1)

    def made_up(self, field: Field, count: int, rng: np.random.Generator) -> Array:
        """Waves that move at different speeds."""
        frames, channels, height, width = field.shape
        y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        phase, wave, speed = rng.uniform(0, 6, (3, count, 1, channels, 1, 1))
        moved = phase + speed * np.arange(frames)[:, None, None, None] / frames
        clips: Array = (HALF * (1 + np.sin(wave * (x + y) + moved))).round().astype(np.uint8)
        return clips


def fps_of(field: Field) -> float:
    """Frames a second."""
    return float(field.facts["fps"])

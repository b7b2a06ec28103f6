"""Images of any height, width and number of channels, of 8 or 16 bits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo.core.spec import Field
from ganzoo.data.modality import Array, Modality, expect

HALF = {8: 127.5, 16: 32767.5}
DTYPES = {8: torch.uint8, 16: torch.uint16}
"""Pixels by their number of bits."""


class Images(Modality):
    """uint8 or uint16 [N, C, H, W]; of 16 bits if the field's fact `bits` says so."""

    noun = "images"
    suffix = ".png"

    def example(self) -> Field:
        return Field(self.name, (3, 6, 8))

    def field(self, values: Array, facts: Mapping[str, Any]) -> Field:
        fits = values.dtype in (np.uint8, np.uint16) and values.ndim == 4 and 0 not in values.shape
        expect(fits, "uint8 or uint16 images [N, channels, height, width]", values)
        bits = {"bits": 16} if values.dtype == np.uint16 else {}
        return Field(self.name, tuple(values.shape[1:]), {**facts, **bits})

    def encode(self, values: Tensor, field: Field) -> Tensor:
        return values.float().mul_(1 / HALF[bits_of(field)]).sub_(1)

    def decode(self, outputs: Tensor, field: Field) -> Tensor:
        half, dtype = HALF[bits_of(field)], DTYPES[bits_of(field)]
        return outputs.float().add(1).mul(half).round().clamp(0, 2 * half).to("cpu", dtype)

    def images(self, values: Tensor, field: Field) -> Tensor:
        """The pixels as 8 bits; of 2 channels or more than 4, the first, or the first three as RGB."""
        if bits_of(field) == 16:
            values = values.float().mul(255 / 65535).round().to(torch.uint8)
        channels = values.shape[1]
        return values if channels in (1, 3, 4) else values[:, : 3 if channels > 3 else 1]

    def write(self, values: Tensor, field: Field, path: Path, text: Mapping[str, object]) -> None:
        """A PNG file; 16 bits are kept in grey images."""
        from ganzoo.data import imaging

        beside = torch.cat(list(values), dim=-1) if len(values) > 1 else values[0]
        grey16 = bits_of(field) == 16 and len(beside) == 1
        imaging.save(beside if grey16 else self.images(beside[None], field)[0], path, text)

    def made_up(self, field: Field, count: int, rng: np.random.Generator) -> Array:
        channels, height, width = field.shape
        y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
        phase, wave = rng.uniform(0, 6, (2, count, channels, 1, 1))
        half, dtype = HALF[bits_of(field)], np.uint16 if bits_of(field) == 16 else np.uint8
        pixels: Array = (half * (1 + np.sin(wave * (x + y) + phase))).round().astype(dtype)
        return pixels


def bits_of(field: Field) -> int:
    """The bits of a pixel's channel: 8 or 16."""
    return 16 if field.facts.get("bits") == 16 else 8

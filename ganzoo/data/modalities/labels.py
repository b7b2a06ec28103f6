"""Class labels: one integer for each example, -1 where the class is unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from ganzoo.core.errors import DataError
from ganzoo.core.spec import UNKNOWN_LABEL, Field
from ganzoo.data.modality import Array, Modality, expect


class Labels(Modality):
    """int64 [N]. The fact `classes` is their number, and `unknown` is true if some labels are -1."""

    noun = "labels"

    def example(self) -> Field:
        return Field(self.name, (), {"classes": 3})

    def field(self, values: Array, facts: Mapping[str, Any]) -> Field:
        expect(values.dtype == np.int64 and values.ndim == 1, "int64 labels [N]", values)
        low, high = (int(values.min()), int(values.max())) if len(values) else (0, 0)
        if low < UNKNOWN_LABEL or high >= facts["classes"]:
            raise DataError(
                f"labels range from {low} to {high}, but there are {facts['classes']} classes (-1 means unknown)"
            )
        return Field(self.name, (), {**facts, **({"unknown": True} if low == UNKNOWN_LABEL else {})})

    def encode(self, values: Tensor, field: Field) -> Tensor:
        return values

    def decode(self, outputs: Tensor, field: Field) -> Tensor:
        return outputs.cpu()

    def made_up(self, field: Field, count: int, rng: np.random.Generator) -> Array:
        """The classes in turn, the last quarter unknown if any are."""
        labels: Array = np.arange(count) % field.facts["classes"]
        if field.facts.get("unknown"):
            labels[count - count // 4 :] = UNKNOWN_LABEL
        return labels

"""Convert values of any modality to what networks see, and back."""

from __future__ import annotations

from torch import Tensor

from ganzoo.core.spec import DataSpec, Field
from ganzoo.data.modality import get_modality


def encode(values: Tensor, described: DataSpec | Field) -> Tensor:
    """Convert values of a field, or of a spec's target, to float32 in [-1, 1], on the same device."""
    field = described.target if isinstance(described, DataSpec) else described
    return get_modality(field.modality).encode(values, field)


def decode(outputs: Tensor, described: DataSpec | Field) -> Tensor:
    """Convert a network's output, of any float type, to values of a field, or of a spec's target, on the CPU."""
    field = described.target if isinstance(described, DataSpec) else described
    return get_modality(field.modality).decode(outputs, field)

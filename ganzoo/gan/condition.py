"""What the networks are given beside noise: nothing, one tensor, or several by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Condition = Any
"""None, labels int64 [N], input images [N, C, H, W], codes; or dict[str, Tensor] for a card that asks for several.

Which of these is fixed by the architecture's card, so its own networks may declare the type they get."""


def condition_of(given: Mapping[str, Tensor]) -> Condition:
    """The condition of networks that are `given` these: a single tensor is not wrapped."""
    return (next(iter(given.values())) if len(given) == 1 else dict(given)) if given else None


def map_condition(function: Callable[[Tensor], Any], condition: Condition) -> Condition:
    """`function` of every tensor of the condition, in the same structure; None stays None."""
    if isinstance(condition, Mapping):
        return {name: function(part) for name, part in condition.items()}
    return None if condition is None else function(condition)


def twice(condition: Condition) -> Condition:
    """The condition of two batches in a row that share it."""
    return map_condition(lambda part: torch.cat([part, part]), condition)


def split_condition(condition: Condition, parts: int) -> list[Condition]:
    """The condition of each of `parts` microbatches."""
    if isinstance(condition, Mapping):
        chunks = {name: part.chunk(parts) for name, part in condition.items()}
        return [{name: chunk[i] for name, chunk in chunks.items()} for i in range(parts)]
    return [None] * parts if condition is None else list(condition.chunk(parts))

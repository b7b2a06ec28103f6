"""Checks of what `GAN.sample` is asked for, and eval mode and sampling settings for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.core import config as configs
from ganzoo.core.errors import DataError, UsageError
from ganzoo.core.spec import INPUT, Field
from ganzoo.data.modality import get_modality
from ganzoo.data.normalization import encode


def checked_labels(labels: Sequence[int] | Tensor, count: int, classes: int) -> Tensor:
    """The labels as int64 [count]. UsageError unless there are `count`, each of one of the classes."""
    result = torch.as_tensor(labels, dtype=torch.int64)
    if result.shape != (count,):
        raise UsageError(f"Expected {count} labels, one per sample, but got {result.numel()}.")
    if count and not (int(result.min()) >= 0 and int(result.max()) < classes):
        raise UsageError(f"Labels must lie in 0..{classes - 1}.")
    return result


def checked_given(name: str, values: Tensor | None, count: int, described: Field) -> Tensor:
    """The values of the array `name` as networks see them. UsageError if they are missing or do not fit."""
    kind = "is paired and needs inputs" if name == INPUT else f"needs {name}"
    expected = f"{count} {described}"
    if values is None:
        raise UsageError(f"This GAN {kind}, {expected}, but got none.")
    try:
        actual = get_modality(described.modality).field(values.numpy(), described.facts)
    except DataError as failure:
        raise UsageError(f"This GAN {kind}, {expected}, but {failure}.") from None
    if actual != described or len(values) != count:
        raise UsageError(f"This GAN {kind}, {expected}, but got {len(values)} {actual}.")
    return encode(values, described)


@contextlib.contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put `network` into eval mode; on exit, restore the mode of each of its modules."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def checked_settings(sampling_type: type[Any], chosen: Mapping[str, Any]) -> Any:
    """The sampling settings with `chosen` in place of defaults. UsageError if one is unknown or not valid."""
    if chosen and not configs.settings(sampling_type):
        raise UsageError(f"Unknown setting {next(iter(chosen))!r}: this GAN has no sampling settings.")
    return configs.make(sampling_type, chosen)


@contextlib.contextmanager
def sampling_with(gan: Any, chosen: Mapping[str, Any]) -> Iterator[None]:
    """While entered, `gan.sampling` holds the sampling settings of its card with `chosen` in place of defaults."""
    before, gan.sampling = gan.sampling, checked_settings(gan.sampling_type, chosen)
    try:
        yield
    finally:
        gan.sampling = before

"""Checks of what `GAN.sample` is asked for, and eval mode and sampling settings for a while."""

from __future__ import annotations

import contextlib
import copy
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ganzoo.core import config as configs
from ganzoo.core.errors import DataError, UsageError, did_you_mean
from ganzoo.core.spec import INPUT, Field
from ganzoo.data.modality import get_modality
from ganzoo.data.normalization import encode


def checked_labels(
    labels: Sequence[int | str] | Tensor, count: int, classes: int, class_names: Sequence[str] = ()
) -> Tensor:
    """The labels, numbers or names, as int64 [count]. UsageError unless there are `count`, each one of the classes."""
    if isinstance(labels, (str, int)) or not (isinstance(labels, Iterable) or hasattr(labels, "__array__")):
        raise UsageError(f"Expected a list of {count} labels, one per sample, but got {labels!r}.")
    if not isinstance(labels, Tensor):
        labels = [class_number(label, classes, class_names) if isinstance(label, str) else label for label in labels]
    try:
        result = torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError("Labels must be whole numbers or names of classes.") from None
    if (result.is_floating_point() and result.numel()) or result.is_complex():
        raise UsageError("Labels must be whole numbers or names of classes.")
    result = result.to(torch.int64)
    if result.shape != (count,):
        raise UsageError(f"Expected {count} labels, one per sample, but got {result.numel()}.")
    if count and not (int(result.min()) >= 0 and int(result.max()) < classes):
        raise UsageError(f"Labels must lie in 0..{classes - 1}.")
    return result


def class_number(label: str, classes: int, class_names: Sequence[str] = ()) -> int:
    """The number of the class called `label`: by its name, or by `index:N`.

    A bare number is an index only if no class is named by a number: of classes 0, 1, 2, 10, the label 3 is none.
    UsageError if there is no such class.
    """
    names = [unicodedata.normalize("NFC", name) for name in class_names] or [str(n) for n in range(classes)]
    wanted = unicodedata.normalize("NFC", label)
    if wanted in names:
        return names.index(wanted)
    index = wanted.removeprefix("index:")
    said = index != wanted or not any(name.isdecimal() for name in names)
    if said and index.isdecimal() and len(index) < 10 and int(index) < classes:
        return int(index)
    raise UsageError(f"{label!r} is not a class of this GAN. {did_you_mean(label, class_names or names)}")


def checked_given(name: str, values: Tensor | None, count: int, described: Field) -> Tensor:
    """The values of the array `name` as networks see them. UsageError if they are missing or do not fit."""
    kind = "is paired and needs inputs" if name == INPUT else f"needs {name}"
    expected = f"{count} {described}"
    if values is None:
        raise UsageError(f"This GAN {kind}, {expected}, but got none.")
    try:
        values = torch.as_tensor(values)
        actual = get_modality(described.modality).field(values.numpy(force=True), described.facts)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"This GAN {kind}, {expected}, but got a {type(values).__name__}.") from None
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
    if not isinstance(chosen, Mapping):
        raise UsageError(f"Expected sampling settings as a dictionary, such as {{'truncation': 0.5}}, not {chosen!r}.")
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


@contextlib.contextmanager
def standing_statistics(gan: Any, batches: int, size: int, rng: torch.Generator) -> Iterator[None]:
    """While entered, the generator's batch norms use the mean statistics of so many batches that are generated for it.

    Brock et al. 2019, arXiv:1809.11096; the classes of the `size` images of a batch are drawn. Variances
    are means of those within batches. With 0 batches, or without batch norm, nothing changes.
    """
    norms = [m for m in gan.generator.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not batches or not norms:
        yield
        return
    before = [(norm, norm.training, norm.momentum, copy.deepcopy(norm.state_dict())) for norm in norms]
    try:
        with torch.no_grad():
            for norm in norms:
                norm.reset_running_stats()
                norm.train().momentum = None  # a cumulative average
            for _ in range(batches):
                z, labels = gan.latent(size, rng), None
                if gan.conditional:
                    labels = torch.randint(gan.classes, (size,), device=gan.device, generator=rng)
                gan.generate(z, gan.condition(labels, size, rng))
        for norm in norms:
            norm.eval()
        yield
    finally:
        for norm, training, momentum, state in before:
            norm.train(training).momentum = momentum
            norm.load_state_dict(state)

"""The names of installed plugins. The only file that reads entry points; it imports no plugin."""

from __future__ import annotations

import functools
import importlib.metadata
from importlib.metadata import Distribution, EntryPoint

ARCHITECTURES = "ganzoo.architectures"
DATASETS = "ganzoo.datasets"
MODALITIES = "ganzoo.modalities"
LOSSES = "ganzoo.losses"
PENALTIES = "ganzoo.penalties"
AUGMENTATIONS = "ganzoo.augmentations"
METRICS = "ganzoo.metrics"
LOGGERS = "ganzoo.loggers"
MODELS = "ganzoo.models"
KINDS = {
    ARCHITECTURES: "architecture",
    DATASETS: "data set",
    MODALITIES: "modality",
    LOSSES: "loss",
    PENALTIES: "penalty",
    AUGMENTATIONS: "augmentation",
    METRICS: "metric",
    LOGGERS: "logger",
    MODELS: "model",
}
"""Each group of entry points, and the word for one of its plugins."""

OWN_DISTRIBUTION = "ganzoo-core"
FORMER_DISTRIBUTION = "ganzoo"
"""The name of this distribution in version 0.1.0. On PyPI that name belongs to an unrelated project."""


@functools.cache
def points(group: str) -> tuple[EntryPoint, ...]:
    """The entry points of `group`."""
    return tuple(_all_points().select(group=group))


def names(group: str) -> list[str]:
    """The names in a group of entry points, sorted."""
    return sorted({point.name for point in points(group)})


@functools.cache
def choices(group: str) -> tuple[str, ...]:
    """The names by which the plugins of `group` can be used: plain, or qualified where several claim a name."""
    result = []
    for name in names(group):
        claims = [point for point in points(group) if point.name == name]
        built_in = len(claims) == 1 or any(distribution(point)[0] == OWN_DISTRIBUTION for point in claims)
        result += [name] if built_in else []
        if len(claims) > 1:
            result += sorted(qualified_name(p) for p in claims if distribution(p)[0] != OWN_DISTRIBUTION)
    return tuple(result)


def shortest_name(group: str, name: str) -> str:
    """`name` without its distribution if the plain name means the same plugin; unknown names are returned as given."""
    spelling = canonical_name(name)
    if ":" not in spelling or spelling in choices(group):
        return spelling
    return next((point.name for point in points(group) if qualified_name(point) == spelling), name)


def owner(group: str, name: str) -> str | None:
    """The distribution of the plugin that `name`, one of `choices`, means; None if it is this one or there is none."""
    plain = [point for point in points(group) if point.name == name]
    claims = plain or [point for point in points(group) if qualified_name(point) == canonical_name(name)]
    owners = {distribution(point)[0] for point in claims}
    return owners.pop() if len(owners) == 1 and OWN_DISTRIBUTION not in owners else None


def distribution(point: EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution of an entry point."""
    return ("unknown", "unknown") if point.dist is None else _name_and_version(point.dist)


def qualified_name(point: EntryPoint) -> str:
    """`distribution:name`, which no other distribution can claim."""
    return f"{distribution(point)[0]}:{point.name}"


def canonical_distribution(name: str) -> str:
    """The present name of a distribution: runs of version 0.1.0 call ganzoo-core `ganzoo`."""
    return OWN_DISTRIBUTION if name == FORMER_DISTRIBUTION else name


def canonical_name(name: str) -> str:
    """`name`, its distribution by its present name where it has one: `ganzoo:cgan` is `ganzoo-core:cgan`."""
    prefix, colon, rest = name.partition(":")
    return f"{canonical_distribution(prefix)}:{rest}" if colon else name


def refresh() -> None:
    """Forget the entry points read so far."""
    for cached in (_all_points, _name_and_version, points, choices):
        cached.cache_clear()


@functools.cache
def _all_points() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points()  # type: ignore[return-value]  # Python 3.10 returns a subclass of dict


@functools.cache
def _name_and_version(distribution: Distribution) -> tuple[str, str]:
    """Read once: every access to `name` parses the metadata of the distribution again."""
    return distribution.name or "unknown", distribution.version or "unknown"

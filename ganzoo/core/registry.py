"""Plugins by name.

Getting a plugin by name imports that plugin alone; listing architectures and data sets imports all of them. A plugin
that cannot be used stays visible as a broken entry with its reason, and breaks nothing else.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from dataclasses import replace

from ganzoo.core import entry_points, plugin_file
from ganzoo.core.entry_points import (
    ARCHITECTURES,
    DATASETS,
    FORMER_DISTRIBUTION,
    KINDS,
    OWN_DISTRIBUTION,
    canonical_distribution,
    canonical_name,
    names,
)
from ganzoo.core.errors import PluginError, UsageError, did_you_mean
from ganzoo.core.paths import shell_word
from ganzoo.core.plugin import Architecture, Dataset
from ganzoo.core.plugin_loading import Entry, Validate, check_target, load, validate

__all__ = [
    "ARCHITECTURES",
    "DATASETS",
    "FORMER_DISTRIBUTION",
    "OWN_DISTRIBUTION",
    "Entry",
    "architectures",
    "canonical_distribution",
    "canonical_name",
    "datasets",
    "entries",
    "find_architecture",
    "get",
    "get_architecture",
    "get_dataset",
    "names",
    "paired_datasets",
    "refresh",
    "unloaded",
    "validate",
]

_as_architecture = functools.partial(validate, contract=Architecture)
_as_dataset = functools.partial(validate, contract=Dataset)


def architectures() -> tuple[Entry, ...]:
    """Every installed architecture plugin, working or broken."""
    return entries(ARCHITECTURES, _as_architecture)


def datasets() -> tuple[Entry, ...]:
    """Every installed data set plugin, working or broken."""
    return entries(DATASETS, _as_dataset)


def paired_datasets() -> list[Entry]:
    """The working data sets that yield pairs of images."""
    return [entry for entry in datasets() if entry.error is None and entry.card.paired]


def entries(group: str, validate: Validate) -> tuple[Entry, ...]:
    """Every plugin in `group`, sorted by name and with the built-in first for each name; imports all of them."""
    return tuple(entry for name in names(group) for entry in _claims(group, name, validate))


def unloaded(group: str) -> tuple[Entry, ...]:
    """Every plugin in `group` without its card: imports none, and finds only the errors that show without that."""
    result: list[Entry] = []
    for name in names(group):
        claims = []
        for point in entry_points.points(group):
            if point.name == name:
                distribution, version = entry_points.distribution(point)
                error = _error_before_import(point.value)
                claims.append(Entry(name, group, distribution, version, point.value, error=error))
        result += _settle(claims)
    return tuple(result)


def get_architecture(name: str) -> Entry:
    """The working architecture called `name` or `distribution:name`. Imports that plugin alone.

    Raises UsageError for an unknown name, and PluginError with the full cause for a broken plugin.
    """
    return get(ARCHITECTURES, name, _as_architecture)


def find_architecture(name: str) -> Entry:
    """The architecture that the user named: as for `get_architecture`, or PATH.py:CLASS, which runs that file."""
    if isinstance(name, str) and name.endswith(".py"):
        raise UsageError(f"{name} names a file without a class: write {name}:CLASS.")
    return plugin_file.load_named(name) if plugin_file.names_file(name) else get_architecture(name)


def get_dataset(name: str) -> tuple[Dataset, str | None]:
    """The data set card for `name`, `name:ARGUMENT` or `distribution:name`, and the argument.

    Raises like `get_architecture`, and UsageError if an argument is missing or unexpected.
    """
    if not isinstance(name, str):
        raise UsageError(f"Expected the name of a data set, such as 'mnist' or 'folder:PATH', but got {name!r:.100}.")
    spelling = canonical_name(name)
    points = entry_points.points(DATASETS)
    known = [spelling for point in points for spelling in (entry_points.qualified_name(point), point.name)]
    head = max((prefix for prefix in known if f"{spelling}:".startswith(f"{prefix}:")), key=len, default=name)
    argument = spelling[len(head) + 1 :] if head in known else ""
    card = get(DATASETS, head, _as_dataset).card
    if card.argument and not argument:
        raise UsageError(f"Data set {head!r} needs its {card.argument}: write {head}:{card.argument}.")
    if argument and not card.argument:
        raise UsageError(f"Data set {head!r} takes no argument, but got {argument!r}.")
    return card, argument or None


@functools.cache
def get(group: str, name: str, validate: Validate) -> Entry:
    """The working plugin of `group` called `name` or `distribution:name`. Imports that plugin alone.

    `validate` receives the object of the entry point and returns the entry's card. Raises UsageError for an unknown
    name, and PluginError with the full cause for a broken plugin.
    """
    spelling = canonical_name(name)
    points = entry_points.points(group)
    plain_names = dict.fromkeys(p.name for p in points if spelling in (entry_points.qualified_name(p), p.name))
    claims = [entry for plain_name in plain_names for entry in _claims(group, plain_name, validate)]
    matches = [e for e in claims if e.qualified_name == spelling] or [e for e in claims if e.name == spelling]
    if not matches:
        raise UsageError(f"No {KINDS[group]} is called {name!r}. {_hint(group, name)}")
    entry = matches[0]
    if entry.card is None or (entry.error is not None and spelling != entry.qualified_name):
        details = f"\n\n{entry.cause.rstrip()}" if entry.cause else ""
        raise PluginError(
            f"The {KINDS[group]} {name!r} from {entry.distribution} {entry.version} cannot be used: "
            f"{entry.error}{details}"
        )
    return entry


def refresh() -> None:
    """Forget the entry points read so far, so that newly installed packages are found."""
    entry_points.refresh()
    _claims.cache_clear()
    get.cache_clear()


@functools.cache
def _claims(group: str, name: str, validate: Validate) -> tuple[Entry, ...]:
    """The plugins that claim `name`, the built-in first, the others in order of their distributions' names."""
    return _settle([load(point, validate) for point in entry_points.points(group) if point.name == name])


def _settle(claims: list[Entry]) -> tuple[Entry, ...]:
    """The entries that claim one name in order; only the built-in, or a single claimant, has the plain name."""
    claims = sorted(claims, key=lambda entry: (entry.distribution != OWN_DISTRIBUTION, entry.distribution))
    if len(claims) < 2:
        return tuple(claims)
    return tuple(e if e.distribution == OWN_DISTRIBUTION else _name_conflict(e, claims) for e in claims)


def _name_conflict(entry: Entry, claims: list[Entry]) -> Entry:
    """`entry`, broken because others claim its name; it can still be used by its qualified name."""
    others = " and ".join(f"{e.distribution} {e.version}" for e in claims if e is not entry)
    alternative = "" if entry.error is not None else f"; use it as {entry.qualified_name}"
    error = f"the name {entry.name!r} is also claimed by {others}{alternative}"
    if entry.error is not None:
        error = f"{entry.error}; {error}"
    return replace(entry, error=error)


def _error_before_import(target: str) -> str | None:
    """Why an entry point cannot be imported, as far as its text and the search path say."""
    try:
        check_target(target)
    except PluginError as refusal:
        return str(refusal)
    package = target.partition(":")[0].strip().partition(".")[0]
    if importlib.util.find_spec(package) is None:
        return f"ModuleNotFoundError: No module named {package!r}"
    return None


def _hint(group: str, name: str) -> str:
    """What the user may have meant by an unknown name."""
    if not names(group):
        return f"{OWN_DISTRIBUTION} was installed before it had any: install it again."
    plain_name = name.partition(":")[0]
    package = f"ganzoo-{name.replace('_', '-')}"
    for other, kind in KINDS.items():
        if other != group and plain_name in names(other):
            return f"It is {'an' if kind[0] in 'aeiou' else 'a'} {kind}."
    exists = os.path.isdir(os.path.expanduser(name))
    if group == DATASETS and (exists or (os.sep in name and ":" not in name)):
        cards = {entry.name: entry.card for entry in datasets() if entry.error is None}
        takes_path = [kind for kind, c in cards.items() if (c.argument, c.kind, c.paired) == ("PATH", "images", False)]
        if takes_path:
            spellings = " or ".join(shell_word(f"{kind}:{name}") for kind in takes_path)
            return f"To use the images in {'this' if exists else 'a'} folder, write {spellings}."
    if group == ARCHITECTURES and os.path.isfile(f"{package}/pyproject.toml"):
        return f"The package in ./{package} is not installed: pip install -e {package}"
    return did_you_mean(plain_name, names(group))

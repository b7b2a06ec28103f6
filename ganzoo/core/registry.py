"""Plugins by name. The only file that reads entry points.

Getting a plugin by name imports that plugin alone; listing imports all of them. A plugin that cannot be used stays
visible as a broken entry with its reason, and breaks nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import inspect
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from ganzoo.core import config as configs
from ganzoo.core.errors import PluginError, UsageError, did_you_mean
from ganzoo.core.plugin import API_VERSION, Architecture, Config, Dataset
from ganzoo.core.spec import DataKind

ARCHITECTURES = "ganzoo.architectures"
DATASETS = "ganzoo.datasets"
CONTRACTS: dict[str, type] = {ARCHITECTURES: Architecture, DATASETS: Dataset}
KINDS = {ARCHITECTURES: "architecture", DATASETS: "data set"}
OWN_DISTRIBUTION = "ganzoo-core"
FORMER_DISTRIBUTION = "ganzoo"
"""The name of this distribution in version 0.1.0. On PyPI that name belongs to an unrelated project."""
REQUIRED_METHOD: dict[type, str] = {Architecture: "build", Dataset: "load"}
ATTRIBUTE_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "summary": ("text", (str,)),
    "paper": ("text", (str,)),
    "source": ("text", (str,)),
    "argument": ("text or None", (str, type(None))),
    "conditional": ("True or False", (bool,)),
    "kind": ("text", (str,)),
    "kinds": ("a tuple", (tuple,)),
    "paired": ("True or False", (bool,)),
    "expected_failures": ("a dict from check to reason", (dict,)),
}

STDOUT, STDERR = 1, 2
SLOW_SECONDS = 3.0


@dataclass(frozen=True)
class Entry:
    """One entry point: a usable card, or the reason why there is none."""

    name: str
    group: str
    distribution: str
    version: str
    target: str
    card: Any = None
    error: str | None = None
    cause: str | None = field(default=None, repr=False)
    """The full traceback if importing the plugin raised."""
    import_seconds: float = 0.0

    @property
    def status(self) -> str:
        return "ok" if self.error is None else "broken"

    @property
    def qualified_name(self) -> str:
        return f"{self.distribution}:{self.name}"


def architectures() -> tuple[Entry, ...]:
    """Every installed architecture plugin, working or broken."""
    return entries(ARCHITECTURES)


def datasets() -> tuple[Entry, ...]:
    """Every installed data set plugin, working or broken."""
    return entries(DATASETS)


def paired_datasets() -> list[Entry]:
    """The working data sets that yield pairs of images."""
    return [entry for entry in datasets() if entry.error is None and entry.card.paired]


def names(group: str) -> list[str]:
    """The names in a group of entry points, sorted. Imports no plugin."""
    return sorted({point.name for point in _points(group)})


def entries(group: str) -> tuple[Entry, ...]:
    """Every plugin in `group`, sorted by name and with the built-in first for each name; imports all of them."""
    return tuple(entry for name in names(group) for entry in _claims(group, name))


def get_architecture(name: str) -> Entry:
    """The working architecture called `name` or `distribution:name`. Imports that plugin alone.

    Raises UsageError for an unknown name, and PluginError with the full cause for a broken plugin.
    """
    return _get(ARCHITECTURES, name)


def get_dataset(name: str) -> tuple[Dataset, str | None]:
    """The data set card for `name`, `name:ARGUMENT` or `distribution:name`, and the argument.

    Raises like `get_architecture`, and UsageError if an argument is missing or unexpected.
    """
    spelling = canonical_name(name)
    known = [spelling for point in _points(DATASETS) for spelling in (_qualified_name(point), point.name)]
    head = max((prefix for prefix in known if f"{spelling}:".startswith(f"{prefix}:")), key=len, default=name)
    argument = spelling[len(head) + 1 :] if head in known else ""
    card = _get(DATASETS, head).card
    if card.argument and not argument:
        raise UsageError(f"Data set {head!r} needs its {card.argument}: write {head}:{card.argument}.")
    if argument and not card.argument:
        raise UsageError(f"Data set {head!r} takes no argument, but got {argument!r}.")
    return card, argument or None


def canonical_distribution(name: str) -> str:
    """The present name of a distribution: runs of version 0.1.0 call ganzoo-core `ganzoo`."""
    return OWN_DISTRIBUTION if name == FORMER_DISTRIBUTION else name


def canonical_name(name: str) -> str:
    """`name`, its distribution by its present name where it has one: `ganzoo:cgan` is `ganzoo-core:cgan`."""
    distribution, colon, rest = name.partition(":")
    return f"{canonical_distribution(distribution)}:{rest}" if colon else name


def refresh() -> None:
    """Forget the entry points read so far, so that newly installed packages are found."""
    _points.cache_clear()
    _claims.cache_clear()


@functools.cache
def _points(group: str) -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=group))


@functools.cache
def _claims(group: str, name: str) -> tuple[Entry, ...]:
    """The plugins that claim `name`, the built-in first, the others in order of their distributions' names."""
    claims = sorted(
        (_load(point) for point in _points(group) if point.name == name),
        key=lambda entry: (entry.distribution != OWN_DISTRIBUTION, entry.distribution),
    )
    if len(claims) < 2:
        return tuple(claims)
    return tuple(e if e.distribution == OWN_DISTRIBUTION else _name_conflict(e, claims) for e in claims)


def _get(group: str, name: str) -> Entry:
    spelling = canonical_name(name)
    plain_names = dict.fromkeys(p.name for p in _points(group) if spelling in (_qualified_name(p), p.name))
    claims = [entry for plain_name in plain_names for entry in _claims(group, plain_name)]
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


def _qualified_name(point: importlib.metadata.EntryPoint) -> str:
    return f"{_distribution(point)[0]}:{point.name}"


def _distribution(point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    """Name and version of the distribution of an entry point."""
    return (point.dist and point.dist.name) or "unknown", (point.dist and point.dist.version) or "unknown"


def _hint(group: str, name: str) -> str:
    """What the user may have meant by an unknown name."""
    plain_name = name.partition(":")[0]
    other = DATASETS if group == ARCHITECTURES else ARCHITECTURES
    package = f"ganzoo-{name.replace('_', '-')}"
    if plain_name in names(other):
        return f"It is {'a data set' if other == DATASETS else 'an architecture'}."
    if group == DATASETS and os.path.isdir(name):
        takes_path = [e.name for e in datasets() if e.error is None and e.card.argument == "PATH" and not e.card.paired]
        if takes_path:
            return f"To use the images in this folder, write {' or '.join(f'{kind}:{name}' for kind in takes_path)}."
    if group == ARCHITECTURES and os.path.isfile(f"{package}/pyproject.toml"):
        return f"The package in ./{package} is not installed: pip install -e {package}"
    return did_you_mean(plain_name, names(group))


def _name_conflict(entry: Entry, claims: list[Entry]) -> Entry:
    """`entry`, broken because others claim its name; it can still be used by its qualified name."""
    others = " and ".join(f"{e.distribution} {e.version}" for e in claims if e is not entry)
    alternative = "" if entry.card is None else f"; use it as {entry.qualified_name}"
    error = f"the name {entry.name!r} is also claimed by {others}{alternative}"
    if entry.error is not None:
        error = f"{entry.error}; {error}"
    return replace(entry, error=error)


def _load(point: importlib.metadata.EntryPoint) -> Entry:
    distribution, version = _distribution(point)
    start = time.perf_counter()
    card = error = cause = None
    try:
        _check_target(point.value)
        with _stdout_to_stderr(), _notice_if_slow(f"{point.name} from {distribution} {version}"):
            card = validate(point.load(), CONTRACTS[point.group])
    except PluginError as refusal:
        error = str(refusal)
    except (Exception, SystemExit) as failure:  # third-party code may raise anything; it is shown when the name is used
        error = f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
        cause = traceback.format_exc()
    seconds = time.perf_counter() - start
    return Entry(point.name, point.group, distribution, version, point.value, card, error, cause, seconds)


def _check_target(value: str) -> None:
    """Refuse an entry point that is not of the form module:Class, with a proposal."""
    if re.fullmatch(r"\w+(\.\w+)*\s*:\s*\w+(\.\w+)*", value):
        return
    module, colon, name = value.replace("-", "_").partition(":")
    if not colon and "." in module:  # written as in an import statement
        module, _, name = module.rpartition(".")
    proposal = f"{module}:{name if name.isidentifier() else 'MyClass'}"
    raise PluginError(f"its entry point is {value!r}, which is not of the form module:Class; perhaps {proposal}")


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Keep a plugin's output out of our JSON while it is imported, including output from C and from subprocesses."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None:  # None if the process was started with it closed
            sys.stdout.flush()
    try:
        original = os.dup(STDOUT)
        os.dup2(STDERR, STDOUT)
    except OSError:  # one of the two is closed, so there is nothing to protect
        original = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if sys.__stdout__ is not None:  # its buffer may hold text that was written past the redirection
            with contextlib.suppress(OSError, ValueError):
                sys.__stdout__.flush()
        if original is not None:
            os.dup2(original, STDOUT)
            os.close(original)


@contextlib.contextmanager
def _notice_if_slow(plugin: str) -> Iterator[None]:
    """Print a notice if a plugin takes long to import."""
    message = f"ganzoo: still importing the plugin {plugin} ..."
    timer = threading.Timer(SLOW_SECONDS, print, (message,), {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def validate(target: Any, contract: type) -> Any:
    """An instance of the plugin class `target`. Raises PluginError if it does not fulfil `contract`."""
    if not (isinstance(target, type) and issubclass(target, contract)):
        actual = f"the class {target.__name__}" if isinstance(target, type) else f"a {type(target).__name__}"
        raise PluginError(f"it must be a subclass of ganzoo.{contract.__name__}, but is {actual}")
    version = getattr(target, "api_version", None)
    if version != API_VERSION:
        stated = "states no api_version" if version is None else f"was written for plugin API {version!r}"
        raise PluginError(f"it {stated}; this ganzoo offers API {API_VERSION}")
    method = REQUIRED_METHOD[contract]
    if getattr(target, method) is getattr(contract, method):
        raise PluginError(f"it does not implement {method}")
    card: Any = target()
    for attribute in contract.__annotations__:
        if not hasattr(card, attribute):
            raise PluginError(f"it lacks the attribute {attribute!r}")
        expected, types = ATTRIBUTE_TYPES.get(attribute, ("", (object,)))
        value = getattr(card, attribute)
        if not isinstance(value, types):
            raise PluginError(f"its {attribute} must be {expected}, but is a {type(value).__name__}")
    for kind in card.kinds if contract is Architecture else (card.kind,):
        if kind not in get_args(DataKind):
            raise PluginError(f"it names {kind!r} as a kind of data; expected {' or '.join(get_args(DataKind))}")
        if contract is Architecture:
            _check_config(card.Config, kind)
    if contract is Architecture and card.conditional and card.paired:
        raise PluginError("it is both conditional and paired: its networks can be given labels or images, not both")
    return card


def _check_config(config_type: Any, kind: str) -> None:
    """Refuse a Config that is not a complete dataclass of valid defaults for this kind of data."""
    if not (isinstance(config_type, type) and issubclass(config_type, Config)):
        raise PluginError("its Config must be a subclass of ganzoo.Config")
    fields = config_type.__dataclass_fields__
    undeclared = [name for name in inspect.get_annotations(config_type) if name not in fields]
    if undeclared:
        raise PluginError(
            f"its Config does not turn {', '.join(undeclared)} into a setting: "
            "write @dataclass(frozen=True, kw_only=True) above it"
        )
    try:
        config = configs.make(config_type, {}, kind)
        choices = [setting.name for setting in configs.settings(Config) if setting.choices]
        configs.make(Config, {name: getattr(config, name) for name in choices})  # the core relies on these values
    except UsageError as failure:
        raise PluginError(f"its Config cannot be made from its defaults: {failure}") from failure

"""Entry points -> cards. The only file that reads entry points.

A plugin that cannot be used stays visible as a broken entry with its reason and breaks nothing but itself.
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
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, get_args

from ganzoo.core import config as configs
from ganzoo.core.errors import PluginError, UsageError, did_you_mean
from ganzoo.core.plugin import API_VERSION, Architecture, Config, Dataset
from ganzoo.core.spec import DataKind

ARCHITECTURES = "ganzoo.architectures"
DATASETS = "ganzoo.datasets"
CONTRACTS: dict[str, type] = {ARCHITECTURES: Architecture, DATASETS: Dataset}
OWN_DISTRIBUTION = "ganzoo"
WORK: dict[type, str] = {Architecture: "build", Dataset: "load"}
"""The method that a plugin must write."""
KINDS: dict[str, tuple[str, tuple[type, ...]]] = {
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
    """The whole traceback where importing the plugin raised."""
    import_seconds: float = 0.0

    @property
    def status(self) -> str:
        return "ok" if self.error is None else "broken"

    @property
    def qualified_name(self) -> str:
        return f"{self.distribution}:{self.name}"


@functools.cache
def entries(group: str) -> tuple[Entry, ...]:
    """Every entry point of `group`, sorted by name; the built-in first where several packages claim one name."""
    loaded = [_load(point) for point in importlib.metadata.entry_points(group=group)]
    claims: dict[str, list[Entry]] = defaultdict(list)
    for entry in loaded:
        claims[entry.name].append(entry)
    result = []
    for name in sorted(claims):
        rivals = sorted(claims[name], key=lambda e: (e.distribution != OWN_DISTRIBUTION, e.distribution))
        if len(rivals) > 1:
            kept = rivals[:1] if rivals[0].distribution == OWN_DISTRIBUTION else []
            rivals = kept + [_taken(entry, rivals) for entry in rivals[len(kept) :]]
        result.extend(rivals)
    return tuple(result)


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
    """The names in a group of entry points, sorted, without importing what they name: for shell completion."""
    return sorted({point.name for point in importlib.metadata.entry_points(group=group)})


def get_architecture(name: str) -> Entry:
    """The working architecture called `name` or `distribution:name`.

    Raises `UsageError` for a name nobody has, `PluginError` with the whole cause for a broken plugin.
    """
    return _get(ARCHITECTURES, "architecture", name)


def get_dataset(name: str) -> tuple[Dataset, str | None]:
    """The data set card for `name`, `name:ARGUMENT` or `distribution:name`, and the argument.

    Raises like `get_architecture`, and `UsageError` where an argument is missing or not wanted.
    """
    names = [known for entry in datasets() for known in (entry.qualified_name, entry.name)]
    head = max((known for known in names if f"{name}:".startswith(f"{known}:")), key=len, default=name)
    argument = name[len(head) + 1 :]
    card = _get(DATASETS, "data set", head).card
    if card.argument and not argument:
        raise UsageError(f"Data set {head!r} needs its {card.argument}: write {head}:{card.argument}.")
    if argument and not card.argument:
        raise UsageError(f"Data set {head!r} takes no argument, but got {argument!r}.")
    return card, argument or None


def _get(group: str, kind: str, name: str) -> Entry:
    found = [e for e in entries(group) if name == e.qualified_name]
    found = found or [e for e in entries(group) if name == e.name]
    if not found:
        hint = did_you_mean(name.partition(":")[0], [e.name for e in entries(group)])
        raise UsageError(f"No {kind} is called {name!r}. {hint}")
    entry = found[0]
    if entry.card is None or (entry.error is not None and name != entry.qualified_name):
        details = f"\n\n{entry.cause.rstrip()}" if entry.cause else ""
        raise PluginError(
            f"The {kind} {name!r} from {entry.distribution} {entry.version} cannot be used: {entry.error}{details}"
        )
    return entry


def _taken(entry: Entry, rivals: list[Entry]) -> Entry:
    others = " and ".join(f"{e.distribution} {e.version}" for e in rivals if e is not entry)
    also = "" if entry.card is None else f"; use it as {entry.qualified_name}"
    error = f"the name {entry.name!r} is also claimed by {others}{also}"
    if entry.error is not None:
        error = f"{entry.error}; {error}"
    return Entry(**{**entry.__dict__, "error": error})


def _load(point: importlib.metadata.EntryPoint) -> Entry:
    distribution = (point.dist and point.dist.name) or "unknown"
    version = (point.dist and point.dist.version) or "unknown"
    start = time.perf_counter()
    card = error = cause = None
    try:
        _check_target(point.value)
        with _stdout_to_stderr(), _told_if_slow(f"{point.name} from {distribution} {version}"):
            card = card_of(point.load(), CONTRACTS[point.group])
    except PluginError as refusal:
        error = str(refusal)
    except (Exception, SystemExit) as failure:  # a stranger's import may raise anything; it is kept and shown on use
        error = f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
        cause = traceback.format_exc()
    seconds = time.perf_counter() - start
    return Entry(point.name, point.group, distribution, version, point.value, card, error, cause, seconds)


def _check_target(value: str) -> None:
    if re.fullmatch(r"\w+(\.\w+)*\s*:\s*\w+(\.\w+)*", value):
        return
    module, colon, name = value.replace("-", "_").partition(":")
    if not colon and "." in module:  # the way Python's own import spells it
        module, _, name = module.rpartition(".")
    proposal = f"{module}:{name if name.isidentifier() else 'MyClass'}"
    raise PluginError(f"its entry point is {value!r}, which is not of the form module:Class; perhaps {proposal}")


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """What a plugin writes while it is imported, in C or in a process it starts, too, must not get into our JSON."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None:  # a process may be started with it closed
            sys.stdout.flush()
    try:
        kept = os.dup(STDOUT)
        os.dup2(STDERR, STDOUT)
    except OSError:  # a process without these two has nothing to protect
        kept = None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if sys.__stdout__ is not None:  # what was written past the redirection may still wait in its buffer
            with contextlib.suppress(OSError, ValueError):
                sys.__stdout__.flush()
        if kept is not None:
            os.dup2(kept, STDOUT)
            os.close(kept)


@contextlib.contextmanager
def _told_if_slow(what: str) -> Iterator[None]:
    """Names the plugin whose import keeps everybody waiting, while it does."""
    message = f"ganzoo: still importing the plugin {what} ..."
    timer = threading.Timer(SLOW_SECONDS, print, (message,), {"file": sys.stderr, "flush": True})
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def card_of(target: Any, contract: type) -> Any:
    """An instance of the plugin class `target`; PluginError where it does not keep the `contract`."""
    if not (isinstance(target, type) and issubclass(target, contract)):
        what = f"the class {target.__name__}" if isinstance(target, type) else f"a {type(target).__name__}"
        raise PluginError(f"it must be a subclass of ganzoo.core.plugin.{contract.__name__}, but is {what}")
    version = getattr(target, "api_version", None)
    if version != API_VERSION:
        stated = "states no api_version" if version is None else f"was written for plugin API {version!r}"
        raise PluginError(f"it {stated}; this ganzoo offers API {API_VERSION}")
    if getattr(target, WORK[contract]) is getattr(contract, WORK[contract]):
        raise PluginError(f"it does not implement {WORK[contract]}")
    card: Any = target()
    for attribute in contract.__annotations__:
        if not hasattr(card, attribute):
            raise PluginError(f"it lacks the attribute {attribute!r}")
        wanted, kinds = KINDS.get(attribute, ("", (object,)))
        value = getattr(card, attribute)
        if not isinstance(value, kinds):
            raise PluginError(f"its {attribute} must be {wanted}, but is a {type(value).__name__}")
    for kind in card.kinds if contract is Architecture else (card.kind,):
        if kind not in get_args(DataKind):
            raise PluginError(f"it names {kind!r} as a kind of data; expected {' or '.join(get_args(DataKind))}")
        if contract is Architecture:
            _check_config(card.Config, kind)
    if contract is Architecture and card.conditional and card.paired:
        raise PluginError("it is both conditional and paired: its networks can be given labels or images, not both")
    return card


def _check_config(config: Any, kind: str) -> None:
    if not (isinstance(config, type) and issubclass(config, Config)):
        raise PluginError("its Config must be a subclass of ganzoo.core.plugin.Config")
    plain = [name for name in inspect.get_annotations(config) if name not in config.__dataclass_fields__]
    if plain:
        raise PluginError(
            f"its Config makes no setting of {', '.join(plain)}: write @dataclass(frozen=True, kw_only=True) above it"
        )
    try:
        made = configs.make(config, {}, kind)
        choices = [setting.name for setting in configs.settings(Config) if setting.choices]
        configs.make(Config, {name: getattr(made, name) for name in choices})  # the core uses them by these names
    except UsageError as failure:
        raise PluginError(f"its Config cannot be made from its defaults: {failure}") from failure

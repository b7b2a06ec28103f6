"""Importing a plugin and checking that it fulfils its contract."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from types import MethodType
from typing import Any

from ganzoo.core import config as configs
from ganzoo.core import entry_points
from ganzoo.core.errors import PluginError, UsageError
from ganzoo.core.plugin import SUPPORTED_VERSIONS, Architecture, Config, Dataset, Sampling
from ganzoo.core.spec import INPUT, LABEL

Validate = Callable[[Any], Any]
"""Turns the object of an entry point into what users of the registry get; PluginError if it is not what it must be."""

REQUIRED_METHOD: dict[type, str] = {Architecture: "build", Dataset: "load"}
ATTRIBUTE_TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "summary": ("text", (str,)),
    "paper": ("text", (str,)),
    "source": ("text", (str,)),
    "argument": ("text or None", (str, type(None))),
    "conditional": ("True or False", (bool,)),
    "given": ("a tuple", (tuple,)),
    "unpaired": ("True or False", (bool,)),
    "unknown_labels": ("True or False", (bool,)),
    "kind": ("text", (str,)),
    "kinds": ("a tuple", (tuple,)),
    "paired": ("True or False", (bool,)),
    "expected_failures": ("a dict from check to reason, or a method that returns one", (dict, MethodType)),
    "steers": ("a tuple of names of networks", (tuple,)),
}

HOMES = {Config: "ganzoo.Config", Sampling: "ganzoo.plugin.Sampling"}
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


def load(point: EntryPoint, validate: Validate) -> Entry:
    """Import the object of an entry point and `validate` it. The entry has the reason if either fails."""
    distribution, version = entry_points.distribution(point)
    start = time.perf_counter()
    card = error = cause = None
    try:
        check_target(point.value)
        with _stdout_to_stderr(), _notice_if_slow(f"{point.name} from {distribution} {version}"):
            card = validate(point.load())
    except PluginError as refusal:
        error = str(refusal)
    except (Exception, SystemExit) as failure:  # third-party code may raise anything; it is shown when the name is used
        error = f"{type(failure).__name__}: {failure}" if str(failure) else type(failure).__name__
        cause = traceback.format_exc()
    seconds = time.perf_counter() - start
    return Entry(point.name, point.group, distribution, version, point.value, card, error, cause, seconds)


def check_target(value: str) -> None:
    """Refuse an entry point that is not of the form module:object, with a proposal."""
    if re.fullmatch(r"\w+(\.\w+)*\s*:\s*\w+(\.\w+)*", value):
        return
    module, colon, name = value.replace("-", "_").partition(":")
    if not colon and "." in module:  # written as in an import statement
        module, _, name = module.rpartition(".")
    proposal = f"{module}:{name if name.isidentifier() else 'MyClass'}"
    raise PluginError(f"its entry point is {value!r}, which is not of the form module:object; perhaps {proposal}")


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
    if not isinstance(version, int) or version not in SUPPORTED_VERSIONS:
        stated = "states no api_version" if version is None else f"was written for plugin API {version!r}"
        offered = " and ".join(map(str, SUPPORTED_VERSIONS))
        raise PluginError(f"it {stated}; this ganzoo offers API {offered}")
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
    modalities = entry_points.names(entry_points.MODALITIES)
    for kind in card.kinds if contract is Architecture else (card.kind,):
        if kind not in modalities:
            raise PluginError(f"it names {kind!r} as a kind of data; expected {' or '.join(modalities)}")
        if contract is Architecture:
            _check_config(card.Config, kind)
            _check_complete(card.Sampling, Sampling, "Sampling")
    if contract is Architecture:
        _complete_given(card)
    return card


def _complete_given(card: Any) -> None:
    """Make `given`, and `conditional` and `paired`, which are short for two names in it, say the same."""
    if not all(isinstance(name, str) for name in card.given):
        raise PluginError(f"its given must be names of arrays, but is {card.given!r}")
    flags = [name for name, set_ in ((LABEL, card.conditional), (INPUT, card.paired)) if set_]
    card.given = tuple(dict.fromkeys([*flags, *card.given]))
    card.conditional, card.paired = LABEL in card.given, INPUT in card.given


def _check_config(config_type: Any, kind: str) -> None:
    """Refuse a Config that is not a complete dataclass of valid defaults for this kind of data."""
    config = _check_complete(config_type, Config, "Config", kind)
    try:
        choices = [setting.name for setting in configs.settings(Config) if setting.choices]
        choices = [name for name in choices if (name, getattr(config, name)) != ("loss", "own")]
        configs.make(Config, {name: getattr(config, name) for name in choices})  # the core relies on these values
    except UsageError as failure:
        raise PluginError(f"its Config cannot be made from its defaults: {failure}") from failure


def _check_complete(config_type: Any, base: type, name: str, kind: str = "images") -> Any:
    """The defaults of `config_type`. PluginError if it is not a dataclass of settings derived from `base`."""
    if not (isinstance(config_type, type) and issubclass(config_type, base)):
        raise PluginError(f"its {name} must be a subclass of {HOMES[base]}")
    fields: Any = getattr(config_type, "__dataclass_fields__", {})
    undeclared = [field for field in inspect.get_annotations(config_type) if field not in fields]
    if undeclared:
        raise PluginError(
            f"its {name} does not turn {', '.join(undeclared)} into a setting: "
            "write @dataclass(frozen=True, kw_only=True) above it"
        )
    try:
        return configs.make(config_type, {}, kind)
    except UsageError as failure:
        raise PluginError(f"its {name} cannot be made from its defaults: {failure}") from failure

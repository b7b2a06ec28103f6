"""An architecture from one Python file, without a package: `./mygan.py:MyGAN`.

Loading a file runs its code, so ganzoo loads a file that the user names, and remembers its path and sha256 for this
account. A run names the file it was trained with; that file is loaded only if this account has used it before with
the content that the run records. A run directory from elsewhere therefore cannot make ganzoo run a file.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ganzoo.core.entry_points import ARCHITECTURES
from ganzoo.core.errors import PluginError, UsageError, did_you_mean
from ganzoo.core.paths import data_folder, shell_word
from ganzoo.core.plugin import Architecture
from ganzoo.core.plugin_loading import Entry, validate

DISTRIBUTION = "a file"
"""Stands for the distribution of an architecture that has none; no distribution can have this name."""
MODULE_PREFIX = "ganzoo_file_"
"""Begins the names of the modules made from files."""


def names_file(name: str) -> bool:
    """Whether `name` has the form PATH.py:CLASS."""
    return re.fullmatch(r".+\.py:\w+", name) is not None


def load_named(target: str) -> Entry:
    """The architecture PATH.py:CLASS that the user named; from now on this account trusts the file as it is.

    Raises UsageError if there is no such file or class, and PluginError if it cannot be used.
    """
    file, _, name = target.rpartition(":")
    path = os.path.abspath(os.path.expanduser(file))
    if not os.path.isfile(path):
        raise UsageError(f"There is no file {file}.")
    source = Path(path).read_bytes()
    mark = _trust_mark(path, _sha256(source))
    with contextlib.suppress(OSError):  # without it, the file must be named again to resume
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    return _load(path, name, source)


def load_recorded(record: Mapping[str, str]) -> Entry:
    """The architecture of a run, from the `record` in its config.json: path, class and sha256 of its file.

    Raises PluginError if the file is gone, has changed, or was never named by the user of this account.
    """
    path, name, recorded = record["path"], record["class"], record["sha256"]
    trained = f"This run was trained with {name} of the file {path}"
    if not os.path.isfile(path):
        raise PluginError(f"{trained}, which is not there. Put it back.")
    if not _trust_mark(path, recorded).exists():
        raise PluginError(
            f"{trained}, and you have never run that file with the content that the run records. ganzoo does not run "
            f"code that only a run directory names. If you trust the file, name it once: "
            f"ganzoo info {shell_word(f'{path}:{name}')}"
        )
    source = Path(path).read_bytes()
    if _sha256(source) != recorded:
        raise PluginError(
            f"{trained}, which has changed since: its sha256 is {_sha256(source)[:12]}..., not {recorded[:12]}.... "
            "Restore it, or train a new run."
        )
    return _load(path, name, source)


def record_of(entry: Entry) -> dict[str, str]:
    """What a run records of an architecture from a file."""
    path, _, name = entry.target.rpartition(":")
    return {"path": path, "class": name, "sha256": entry.version}


def _load(path: str, name: str, source: bytes) -> Entry:
    sha256 = _sha256(source)
    module = f"{MODULE_PREFIX}{_key(path, sha256)[:16]}"
    try:
        if module not in sys.modules:
            _execute(module, path, source)
        members = vars(sys.modules[module])
        if name not in members:
            classes = [key for key, value in members.items() if _is_architecture(value) and value is not Architecture]
            raise UsageError(f"{path} has no class {name}. {did_you_mean(name, classes) if classes else ''}".rstrip())
        card = validate(members[name], Architecture)
    except PluginError as refusal:
        raise PluginError(f"{name} of {path} cannot be used: {refusal}") from None
    return Entry(name.lower(), ARCHITECTURES, DISTRIBUTION, sha256, f"{path}:{name}", card)


def _execute(name: str, path: str, source: bytes) -> None:
    """Run the `source` of `path`, exactly these bytes, as the module `name`."""
    module = types.ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module  # dataclasses look their module up
    try:
        exec(compile(source, path, "exec"), vars(module))
    except BaseException as failure:
        del sys.modules[name]
        if isinstance(failure, (Exception, SystemExit)):
            cause = traceback.format_exc().rstrip()
            raise PluginError(f"{type(failure).__name__}: {failure}\n\n{cause}") from failure
        raise


def _is_architecture(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Architecture)


def _trust_mark(path: str, sha256: str) -> Path:
    """An empty file that exists if the user of this account has named the file `path` with this content."""
    return data_folder() / "files" / _key(path, sha256)


def _key(path: str, sha256: str) -> str:
    return _sha256(f"{path}\0{sha256}".encode(errors="surrogateescape"))


def _sha256(content: bytes) -> str:
    import hashlib  # here, so that listing need not load OpenSSL

    return hashlib.sha256(content).hexdigest()

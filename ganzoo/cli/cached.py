"""`ganzoo datasets --cache`: what is in the cache, and deleting it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from ganzoo.cli.console import Console, table
from ganzoo.core.errors import GanzooError

COMPILED = "ops"
"""The folder of compiled kernels, which are no data."""


@dataclass(frozen=True)
class Cached:
    """An entry of the cache: a file or directory in a folder called after what made it."""

    path: Path
    size: int
    used: float
    source: str

    @property
    def kind(self) -> str:
        return self.path.parent.name


def show_cache(cache: Path, name: str | None, yes: bool, as_json: bool) -> None:
    """List the entries, of the data set `name` or of all; delete them after a question, or at once if `yes`."""
    entries = [entry for entry in cached(cache) if name in (None, entry.kind)]
    if as_json:
        rows = [
            {"kind": e.kind, "source": e.source, "bytes": e.size, "path": str(e.path), "used": e.used} for e in entries
        ]
        click.echo(json.dumps(rows, indent=2))
    else:
        _print(entries, cache, name)
    if entries and (yes or (sys.stdin.isatty() and not as_json and click.confirm("Delete them?"))):
        _delete(entries)
        if not as_json:
            click.echo(f"Deleted {_count(entries)}")


def cached(cache: Path) -> list[Cached]:
    """The entries of the cache, the largest first; unfinished ones and compiled kernels are left out."""
    folders = [entry for entry in _children(cache) if entry.is_dir() and not entry.is_symlink()]
    entries = [
        entry
        for folder in folders
        if folder.name != COMPILED
        for entry in _children(folder)
        if not entry.name.startswith(".") and entry.suffix != ".lock"
    ]
    return sorted((_describe(entry) for entry in entries), key=lambda entry: (-entry.size, str(entry.path)))


def _children(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _describe(path: Path) -> Cached:
    files = [path] if path.is_symlink() or not path.is_dir() else [path, *path.rglob("*")]
    stats = [file.lstat() for file in files]
    source = path.name
    if not path.is_symlink() and path.is_dir():
        with contextlib.suppress(OSError, ValueError, AttributeError):  # of another release, or damaged
            source = str(json.loads((path / "meta.json").read_text("utf-8")).get("source", source))
    return Cached(path, sum(stat.st_size for stat in stats), max(stat.st_mtime for stat in stats), source)


def _print(entries: list[Cached], cache: Path, name: str | None) -> None:
    console = Console()
    if not entries:
        console.print_line(f"The cache {cache} is empty." if name is None else f"Nothing of {name} is in {cache}.")
        return
    rows: list[tuple[Any, ...]] = [
        (entry.kind, megabytes(entry.size), time.strftime("%Y-%m-%d", time.localtime(entry.used)), entry.source)
        for entry in entries
    ]
    console.print(table(("made by", "size", "written", "of"), rows))
    console.print_line(f"\n{_count(entries)} in {cache}; what is deleted is downloaded or decoded again when needed.")
    if not sys.stdin.isatty():
        console.print_line("Add --yes to delete them.")


def _count(entries: list[Cached]) -> str:
    noun = "entry" if len(entries) == 1 else "entries"
    return f"{len(entries)} {noun}, {megabytes(sum(entry.size for entry in entries))}"


def _delete(entries: list[Cached]) -> None:
    for entry in entries:
        try:
            if entry.path.is_symlink() or not entry.path.is_dir():
                os.unlink(entry.path)
            else:
                shutil.rmtree(entry.path)
        except FileNotFoundError:  # another process was faster
            continue
        except OSError as failure:
            raise GanzooError(f"{entry.path} cannot be deleted: {failure.strerror or failure}.") from failure


def megabytes(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e6:,.1f} MB" if size < 1e9 else f"{size / 1e9:,.2f} GB"

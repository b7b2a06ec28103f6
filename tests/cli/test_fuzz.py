"""Random arguments and config files: the command exits with 0, or with a message, and never shows a traceback."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ganzoo.cli import COMMANDS, cli
from ganzoo.core import config, registry
from ganzoo.training.config import OPTIONS
from tests.conftest import Command

CASES = int(os.environ.get("GANZOO_FUZZ", "40"))
ARCHITECTURES = [entry for entry in registry.architectures() if entry.error is None]
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.one_of(
    st.integers(-3, 20), st.sampled_from([10**9, -(10**30), 1 << 63, 1 << 32]), st.floats(width=32)
).map(str)
WORDS = st.one_of(
    TEXT, NUMBERS, st.sampled_from(["none", "true", "nan", "-inf", "1e999", "1,2", ",", "0x10", "\uff11", "--"])
)
LARGE = ("width", "widths", "latent_dim", "embedding", "image_size", "depth", "layers", "size")
"""Settings that determine the use of memory; their values stay small."""


def value(setting: config.Setting) -> st.SearchStrategy[str]:
    """A value for this setting: of its type, of another type, or nonsense."""
    if any(part in setting.name for part in LARGE):
        return st.one_of(TEXT.filter(lambda text: not any(c.isnumeric() for c in text)), st.integers(-2, 40).map(str))
    return st.one_of(WORDS, st.just(config.format_value(setting.default)))


@st.composite
def pairs(draw: st.DrawFn, settings: list[config.Setting]) -> list[str]:
    words = []
    for setting in draw(st.lists(st.sampled_from(settings), max_size=3)):
        words += ["--set", f"{setting.name}={draw(value(setting))}"]
    return words + (["--set", draw(TEXT)] if draw(st.integers(0, 9)) == 0 else [])


def options(draw: st.DrawFn, name: str, skipped: set[str]) -> list[str]:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    words: list[str] = []
    known = [p for p in command.params if isinstance(p, click.Option) and p.name not in skipped]
    for option in draw(st.lists(st.sampled_from(known), max_size=3, unique=True)):
        words.append(option.opts[0])
        if not option.is_flag:
            choices = list(option.type.choices) if isinstance(option.type, click.Choice) else []
            words.append(draw(st.one_of(WORDS, st.sampled_from(choices)) if choices else WORDS))
    return words


@st.composite
def train_commands(draw: st.DrawFn) -> list[str]:
    entry = draw(st.sampled_from(ARCHITECTURES))
    words = ["train", draw(st.one_of(st.just(entry.name), st.just(entry.name), TEXT)), "--dry-run"]
    words += options(draw, "train", {"overrides", "config", "dry_run", "image_size", "resume", "out"})
    words += draw(pairs(config.settings(entry.card.Config)))
    return (
        words if "--dataset" in words else [*words, "--dataset", draw(st.sampled_from(["digits", "digits", "folder:"]))]
    )


@st.composite
def other_commands(draw: st.DrawFn) -> list[str]:
    command = draw(st.sampled_from(["list", "info", "datasets", "sample", draw(TEXT)]))
    words = [command, *draw(st.lists(st.one_of(WORDS, st.just("vanilla")), max_size=2))]
    return words + (options(draw, command, set()) if command in COMMANDS else [])


HUGE = "a number of more digits than Python converts"
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 20), st.sampled_from([1 << 63, 10**30, HUGE]), st.floats(), TEXT,
    st.sampled_from(["digits", "vanilla", "cpu", "../x", "s3://x", "1979-05-27T07:32:00Z", "1979-05-27", "07:32:00"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(TEXT, inner, max_size=2))
)
BARE = re.compile(r"[A-Za-z0-9_-]+|\d{4}-.*|\d\d:.*")


def toml(value: Any) -> str:
    """A value of TOML; none is a word that TOML does not know."""
    if value is HUGE:
        return "1" * 5000
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, str):
        return value if value[:1].isdecimal() and BARE.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return "none" if value is None else json.dumps(value)


@st.composite
def config_files(draw: st.DrawFn) -> bytes:
    """The content of a TOML file: options and settings with wild values, sometimes no TOML at all."""
    entry = draw(st.sampled_from(ARCHITECTURES))
    allowed = [name for name in OPTIONS if name not in ("nproc", "resume", "out", "logger")]
    keys = st.one_of(st.sampled_from(allowed), st.sampled_from(allowed), TEXT)
    lines = [f"{json.dumps(k)} = {toml(v)}" for k, v in draw(st.dictionaries(keys, VALUES, max_size=2)).items()]
    lines += [f"architecture = {json.dumps(entry.name)}", 'dataset = "digits"'][: draw(st.integers(0, 2))]
    small = [setting for setting in config.settings(entry.card.Config) if not any(p in setting.name for p in LARGE)]
    chosen = draw(st.lists(st.sampled_from(small), max_size=2, unique_by=lambda setting: setting.name))
    lines += ["[set]", *(f"{setting.name} = {toml(draw(VALUES))}" for setting in chosen)]
    content = draw(st.sampled_from(["", "\ufeff", "", "[" * 3000, "x = " + "[" * 3000])) + "\n".join(lines)
    return content.encode("utf-8", "surrogatepass") + draw(st.sampled_from([b"", b"", b"\xff", b"\0"]))


@settings(max_examples=CASES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(content=config_files())
@example(content=b"x = " + b"[" * 3000)
@example(content=b"steps = " + b"1" * 5000)
def test_random_config_files_are_accepted_or_refused_with_a_message(
    content: bytes, ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wild.toml").write_bytes(content)
    result = ganzoo_cli("train", "--config", "wild.toml", "--dry-run")
    assert "Traceback" not in result.err
    assert result.code in (0, 1, 2), (content, result)
    assert result.code == 0 or "Error: " in result.err, (content, result)
    assert {path.name for path in tmp_path.iterdir()} == {"wild.toml"}


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.one_of(train_commands(), train_commands(), other_commands()))
def test_random_arguments_are_accepted_or_refused_with_a_message(
    words: list[str], ganzoo_cli: Command, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    monkeypatch.chdir(tmp_path_factory.getbasetemp())
    monkeypatch.setenv("GANZOO_DATA", str(tmp_path_factory.getbasetemp()))
    result = ganzoo_cli(*words)
    assert "Traceback" not in result.err
    assert result.code in (0, 2), (words, result)
    assert result.code == 0 or "Error: " in result.err, (words, result)

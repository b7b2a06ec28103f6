"""Every command on a run of which one value is wrong: one message and exit code 1 or 2, or success."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ganzoo
from ganzoo.cli import main
from tests.untrusted import (
    REMOVED,
    edited,
    newest,
    places,
    read_header,
    read_state,
    seal,
    small_run,
    write_header,
    write_state,
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore")
CASES = int(os.environ.get("GANZOO_FUZZ", "10000"))
"""Cases of the long test; `make fuzz CASES=500` sets it."""
FILES = (
    "config.json",
    "metrics.jsonl",
    "evaluations.jsonl",
    "alarms.jsonl",
    "evaluation.json",
    "manifest",
    "state.pt",
    "weights",
)
COMMANDS = {
    "resume": ("train", "--resume", "RUN", "--steps", "6"),
    "sample": ("sample", "RUN", "--count", "4", "--out", "OUT/samples.png"),
    "evaluate": ("evaluate", "RUN", "--metrics", "modes", "--samples", "2500"),
    "compare": ("compare", "RUN", "--html", "OUT/page.html"),
}
LONG = "x" * 5000
NEW_VALUES = [
    REMOVED, None, True, 0, -1, 10**9, 1 << 62, 1 << 70, 10**400, 0.5, -1e308, float("nan"), float("inf"), "", "x",
    "12", "\x1b]0;title\x07\x00", "\ud800", LONG, "../..", [], [[[]]], [0, "x", None], {}, {"x": {"y": None}},
    {"": []},
]  # fmt: skip
NEW_TENSORS = [
    torch.zeros(1), torch.zeros(0), torch.zeros(1).expand(16, 2), torch.zeros((), dtype=torch.int64),
    torch.tensor(float("nan")), torch.zeros(5056, dtype=torch.uint8), torch.zeros(16, 2, dtype=torch.float64),
    torch.zeros(2, 2).to_sparse(), torch.zeros(8, 2, device="meta"), torch.full((5056,), 255, dtype=torch.uint8),
]  # fmt: skip


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all files, evaluated."""
    run = small_run(tmp_path_factory.mktemp("pristine") / "run")
    ganzoo.evaluate(run, metrics=["modes"], samples=2500)
    alarm = {"name": "divergence", "step": 3, "evidence": "D scores", "remedy": "Try"}
    (run / "alarms.jsonl").write_text(json.dumps(alarm) + "\n")
    return run


def command(name: str, run: Path, out: Path) -> tuple[int, str]:
    """The exit code and all output of a command in this process, as a terminal would get it."""
    words = [word.replace("RUN", str(run)).replace("OUT", str(out)) for word in COMMANDS[name]]
    written = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="replace")
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        stack.enter_context(contextlib.redirect_stdout(written))
        stack.enter_context(contextlib.redirect_stderr(written))
        patch.setattr(sys, "argv", ["ganzoo", *words])
        patch.setattr("signal.signal", lambda *_: None)
        with pytest.raises(SystemExit) as exit:
            main()
    written.flush()
    assert isinstance(exit.value.code, int)
    return exit.value.code, written.buffer.getvalue().decode("utf-8")  # type: ignore[attr-defined]


def content_of(run: Path, file: str) -> Any:
    if file == "state.pt":
        return read_state(newest(run))
    if file == "weights":
        return read_header(newest(run) / "model.safetensors")
    text = (newest(run) / "manifest.json" if file == "manifest" else run / file).read_text()
    return [json.loads(line) for line in text.splitlines()] if file.endswith(".jsonl") else json.loads(text)


def write(run: Path, file: str, content: Any) -> None:
    if file == "state.pt":
        return write_state(newest(run), content)
    if file == "weights":
        return write_header(newest(run) / "model.safetensors", content)
    path = newest(run) / "manifest.json" if file == "manifest" else run / file
    rows = file.endswith(".jsonl") and isinstance(content, list)
    path.write_text("\n".join(map(json.dumps, content)) + "\n" if rows else json.dumps(content))


def check(pristine: Path, folder: Path, file: str, place: tuple[Any, ...], new: Any, name: str) -> None:
    """Edit a copy of the run, and check that the command succeeds or says in one message what is wrong."""
    run = Path(shutil.copytree(pristine, folder / "run", dirs_exist_ok=True))
    write(run, file, edited(content_of(run, file), place, new))
    check_command(name, run, folder)


def check_command(name: str, run: Path, folder: Path) -> None:
    before = sorted(os.listdir(folder))
    code, output = command(name, run, folder)
    assert code in (0, 1, 2), output
    assert "Traceback" not in output, output
    assert output.count("Error: ") == (code > 0), output
    assert not set(output) & {"\x1b", "\x07", "\0"}, output
    assert len(output) < 20_000
    made = set(os.listdir(folder)) - set(before)
    assert made <= {"samples.png", "page.html"}
    shutil.rmtree(run)


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, int, Any, str]:
    file = draw(st.sampled_from(FILES))
    values = NEW_VALUES + (NEW_TENSORS if file == "state.pt" else [])
    return file, draw(st.integers(0, 10_000)), draw(st.sampled_from(values)), draw(st.sampled_from(list(COMMANDS)))


def try_one(pristine: Path, factory: pytest.TempPathFactory, edit: tuple[str, int, Any, str]) -> None:
    file, number, new, name = edit
    known = list(places(content_of(pristine, file)))
    place = known[number % len(known)]
    assume(
        not ("settings" in place and isinstance(new, int) and new == 10**9)
    )  # a network of this size is tried to be built
    check(pristine, factory.mktemp("edited"), file, place, new, name)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=edits())
def test_a_wrong_value_anywhere_is_one_message(
    edit: tuple[str, int, Any, str], pristine: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try_one(pristine, tmp_path_factory, edit)


@st.composite
def damages(draw: st.DrawFn) -> tuple[int, float, str, bytes, bool, str]:
    """Bytes that are replaced, put in or cut off somewhere in one of the files, with or without a manifest to match."""
    how = draw(st.sampled_from(["replace", "insert", "cut"]))
    new = draw(st.binary(min_size=1, max_size=8))
    return (
        draw(st.integers(0, 99)),
        draw(st.floats(0, 1)),
        how,
        new,
        draw(st.booleans()),
        draw(st.sampled_from(list(COMMANDS))),
    )


def damage_one(
    pristine: Path, factory: pytest.TempPathFactory, damage: tuple[int, float, str, bytes, bool, str]
) -> None:
    number, position, how, new, sealed, name = damage
    folder = factory.mktemp("damaged")
    run = Path(shutil.copytree(pristine, folder / "run"))
    files = sorted(path for path in run.rglob("*") if path.is_file() and "tensorboard" not in path.parts)
    file = files[number % len(files)]
    content = file.read_bytes()
    at = round(position * len(content))
    rest = {"replace": content[at + len(new) :], "insert": content[at:], "cut": b""}[how]
    file.write_bytes(content[:at] + new + rest)
    if sealed and file.parent == newest(run) and file.name != "manifest.json":
        seal(newest(run))
    check_command(name, run, folder)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages())
def test_damaged_bytes_anywhere_are_one_message(
    damage: tuple[int, float, str, bytes, bool, str], pristine: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damage_one(pristine, tmp_path_factory, damage)


@pytest.mark.slow
@settings(max_examples=CASES // 2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages())
def test_many_damaged_bytes_are_one_message_each(
    damage: tuple[int, float, str, bytes, bool, str], pristine: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damage_one(pristine, tmp_path_factory, damage)


@pytest.mark.slow
@settings(max_examples=CASES // 2, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edit=edits())
def test_many_wrong_values_are_one_message_each(
    edit: tuple[str, int, Any, str], pristine: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try_one(pristine, tmp_path_factory, edit)

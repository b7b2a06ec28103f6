"""Every command on a run of which one value is wrong: one message and exit code 1 or 2, or success.

A small number of them here; `make fuzz` tries many, and `make fuzz-asan` with kernels under AddressSanitizer.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import ganzoo
from ganzoo.cli import main
from ganzoo.ops.cpu_library import LIBRARY
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
"""Cases of the long tests together; `make fuzz CASES=500` sets it."""
PARTS = range(8)
"""The long tests are in parts, so that one finding does not end them all, and several processes can share them."""
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
RUNS: dict[str, dict[str, Any]] = {
    "points": {"measured": ("modes", 2500)},
    "images": {"measured": ("swd", 16), "architecture": "cgan", "dataset": "digits",
               "settings": {"width": 8, "image_size": 16},
               "evaluate_every": None, "best_by": None},
}  # fmt: skip
"""Options of two runs, one of points and one whose networks run on the native kernels; `measured`: metric, samples."""
COMMANDS = {
    "resume": "train --resume RUN --steps 6",
    "sample": "sample RUN --count 4 --out OUT/samples.png",
    "evaluate": "evaluate RUN --metrics METRIC --samples COUNT",
    "compare": "compare RUN --html OUT/page.html",
    "runs": "runs OUT --sort step",
    "plot": "plot RUN --out OUT/plot.png",
    "pack": "pack RUN --name packed --metrics METRIC --samples COUNT --dir OUT/packed",
    "film": "film RUN --out OUT/film.gif",
    "walk": "walk RUN --seeds 1,2 --frames 2 --out OUT/walk.gif",
    "directions": "directions RUN --count 1 --seed 1 --out OUT/directions.png",
    "arithmetic": "arithmetic RUN 1 - 2 + 3 --out OUT/sum.png",
    "project": "project RUN test:0 --starts 1 --steps 1 --candidates 2 --out OUT/projection.png",
    "export": "export RUN --to pt2 --out OUT/generator.pt2",
    "init": "train vanilla --dataset ring --init-from RUN --steps 1 --out OUT/new",
}
OUTPUTS = {
    *("samples.png", "page.html", "plot.png", "packed", "film.gif", "walk.gif", "directions.png", "sum.png"),
    *("projection.png", "generator.pt2", "new"),
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
def pristine(tmp_path_factory: pytest.TempPathFactory, kernels: None) -> dict[str, Path]:
    """Runs with all files, evaluated."""
    return {kind: make(tmp_path_factory.mktemp(kind) / "run", **options) for kind, options in RUNS.items()}


def make(path: Path, measured: tuple[str, int], **options: Any) -> Path:
    run = small_run(path, **options)
    ganzoo.evaluate(run, metrics=[measured[0]], samples=measured[1])
    alarm = {"name": "divergence", "step": 3, "evidence": "D scores", "remedy": "Try"}
    (run / "alarms.jsonl").write_text(json.dumps(alarm) + "\n")
    if not (run / "evaluations.jsonl").exists():
        (run / "evaluations.jsonl").write_text(json.dumps({"step": 2, "images": 32, "swd": 1.5}) + "\n")
    return run


@pytest.fixture(autouse=True, scope="module")
def kernels() -> None:
    """The kernels of `make fuzz-asan` in place of our own, before any is used."""
    sanitized = os.environ.get("GANZOO_SANITIZED_CPU")
    if sanitized is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LIBRARY, "ahead_of_time", lambda: Path(sanitized))
        patch.setattr(type(LIBRARY.recipe), "mismatch", lambda *_: None)
        assert str(LIBRARY.load().path) == sanitized, LIBRARY.loaded


@pytest.fixture(autouse=True)
def no_hang() -> Iterator[None]:
    """Ends the process with a traceback if a test hangs, native code included."""
    faulthandler.dump_traceback_later(max(300, CASES), exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def command(kind: str, name: str, run: Path, out: Path) -> tuple[int, str]:
    """The exit code and all output of a command in this process, as a terminal would get it."""
    metric, count = RUNS[kind]["measured"]
    values = {"RUN": run, "OUT": out, "METRIC": metric, "COUNT": count}
    words = COMMANDS[name].split()
    for key, value in values.items():
        words = [word.replace(key, str(value)) for word in words]
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


def check_command(kind: str, name: str, run: Path, folder: Path) -> None:
    """Check that the command succeeds or says in one message what is wrong, in time, and writes nothing else."""
    before = set(os.listdir(folder))
    started = time.process_time()
    code, output = command(kind, name, run, folder)
    assert code in (0, 1, 2), output
    assert "Traceback" not in output, output
    assert output.count("Error: ") == (code > 0), output
    assert not set(output) & {"\x1b", "\x07", "\0"}, output
    assert len(output) < 20_000
    assert time.process_time() - started < 60
    made = set(os.listdir(folder)) - before
    assert made <= OUTPUTS
    assert code == 0 or not made - {"new"}, (made, output)  # a training's directory is there before it fails
    shutil.rmtree(folder)


Edit = tuple[str, str, str, int, Any]


@st.composite
def edits(draw: st.DrawFn) -> Edit:
    """One value in one of the files that another one replaces."""
    file = draw(st.sampled_from(FILES))
    values = NEW_VALUES + (NEW_TENSORS if file == "state.pt" else [])
    kind, name = draw(st.sampled_from([*RUNS])), draw(st.sampled_from([*COMMANDS]))
    return kind, name, file, draw(st.integers(0, 10_000)), draw(st.sampled_from(values))


def try_edit(pristine: dict[str, Path], factory: pytest.TempPathFactory, edit: Edit) -> None:
    kind, name, file, number, new = edit
    content = content_of(pristine[kind], file)
    known = list(places(content))
    place = known[number % len(known)]
    # a network of this size is tried to be built
    assume(not ("settings" in place and type(new) in (int, float) and new >= 10**9))
    folder = factory.mktemp("edited")
    run = Path(shutil.copytree(pristine[kind], folder / "run"))
    write(run, file, edited(content, place, new))
    check_command(kind, name, run, folder)


Damage = tuple[str, str, int, float, str, bytes, bool]


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """Bytes that are replaced, put in or cut off somewhere in one of the files, with or without a manifest to match."""
    kind, name = draw(st.sampled_from([*RUNS])), draw(st.sampled_from([*COMMANDS]))
    how = draw(st.sampled_from(["replace", "insert", "cut"]))
    new = draw(st.binary(min_size=1, max_size=8))
    return kind, name, draw(st.integers(0, 99)), draw(st.floats(0, 1)), how, new, draw(st.booleans())


def try_damage(pristine: dict[str, Path], factory: pytest.TempPathFactory, damage: Damage) -> None:
    kind, name, number, position, how, new, sealed = damage
    folder = factory.mktemp("damaged")
    run = Path(shutil.copytree(pristine[kind], folder / "run"))
    files = sorted(path for path in run.rglob("*") if path.is_file() and "tensorboard" not in path.parts)
    file = files[number % len(files)]
    content = file.read_bytes()
    at = round(position * len(content))
    rest = {"replace": content[at + len(new) :], "insert": content[at:], "cut": b""}[how]
    file.write_bytes(content[:at] + new + rest)
    if sealed and file.parent == newest(run) and file.name != "manifest.json":
        seal(newest(run))
    check_command(kind, name, run, folder)


SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much]


@settings(max_examples=30, suppress_health_check=SHARED)
@given(edit=edits())
def test_a_wrong_value_anywhere_is_one_message(
    edit: Edit, pristine: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    try_edit(pristine, tmp_path_factory, edit)


@settings(max_examples=20, suppress_health_check=SHARED)
@given(damage=damages())
def test_damaged_bytes_anywhere_are_one_message(
    damage: Damage, pristine: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    try_damage(pristine, tmp_path_factory, damage)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
@settings(max_examples=CASES // 2 // len(PARTS), suppress_health_check=SHARED)
@given(damage=damages())
def test_many_damaged_bytes_are_one_message_each(
    part: int, damage: Damage, pristine: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    try_damage(pristine, tmp_path_factory, damage)


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
@settings(max_examples=CASES // 2 // len(PARTS), suppress_health_check=SHARED)
@given(edit=edits())
def test_many_wrong_values_are_one_message_each(
    part: int, edit: Edit, pristine: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    try_edit(pristine, tmp_path_factory, edit)

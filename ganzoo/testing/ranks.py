"""The check that two ranks stay the same.

Ranks are processes. One server process per Python process imports torch and forks both ranks for every check, so that
only the first check waits for the import.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import operator
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from ganzoo.core import config as configs
from ganzoo.core import plugin_file
from ganzoo.testing.fixtures import ArchitectureFixture
from ganzoo.testing.kit import CheckError, rule

STEPS = 3
SECONDS = 120
"""After which a rank that waits for the other one gives up."""


@rule(
    "average over ranks what a step computes from a batch, with step.mean_over_ranks, before it is kept; draw random "
    "numbers from the rng that is passed in."
)
def ranks(fixture: ArchitectureFixture) -> None:
    """Two ranks that train together keep the same weights, buffers and state."""
    problem = _ask(_reference(type(fixture.card)), fixture.overrides)
    if problem:
        raise CheckError(problem)


def _reference(card: type) -> list[str]:
    """Module, or path of a file, and qualified name of the class of a card, for another process."""
    module = sys.modules.get(card.__module__)
    with contextlib.suppress(AttributeError):
        if operator.attrgetter(card.__qualname__)(module) is card and card.__module__ != "__main__":
            is_file = card.__module__.startswith(plugin_file.MODULE_PREFIX)
            return [str(module.__file__) if is_file and module else card.__module__, card.__qualname__]
    raise CheckError(
        f"another process cannot import {card.__qualname__}", "move the card into a module of an installed package."
    )


def _ask(card: list[str], overrides: dict[str, Any]) -> str:
    """What differs between two ranks; empty if nothing does."""
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    texts = {name: configs.format_value(value) for name, value in overrides.items()}
    try:
        server.stdin.write(json.dumps([sys.path, card, texts]) + "\n")
        server.stdin.flush()
        answer = server.stdout.readline()
        return str(json.loads(answer))
    except (OSError, ValueError) as failure:
        _server.cache_clear()
        raise CheckError("the process that trains two ranks ended") from failure


@functools.cache
def _server() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "import sys, json; sys.path = json.loads(sys.argv[1]); "
               "from ganzoo.testing.ranks import serve; serve()", json.dumps(sys.path)]  # fmt: skip
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    atexit.register(server.kill)
    return server


def serve() -> None:
    """Answer the requests of `_ask` on stdin until it closes."""
    out = os.fdopen(os.dup(1), "w")  # what plugins print must not be taken for an answer
    os.dup2(2, 1)
    for line in sys.stdin:
        sys.path[:], card, overrides = json.loads(line)
        with tempfile.TemporaryDirectory() as folder:
            children = [_fork(rank, Path(folder), card, overrides) for rank in (0, 1)]
            for child in children:
                os.waitpid(child, 0)
            said = [(Path(folder) / str(rank)) for rank in (0, 1)]
            answers = [file.read_text(encoding="utf-8") if file.exists() else "a rank died" for file in said]
        out.write(json.dumps(next(filter(None, answers), "")) + "\n")
        out.flush()


def _fork(rank: int, folder: Path, card: list[str], overrides: dict[str, str]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        answer = _train(rank, folder, card, overrides)
    except BaseException as error:
        answer = f"{type(error).__name__}: {error}".splitlines()[0]
    (folder / str(rank)).write_text(answer, encoding="utf-8")
    os._exit(0)  # without the exit handlers of the server


def _train(rank: int, folder: Path, card: list[str], overrides: dict[str, str]) -> str:
    """Train on this rank; returns what differs from the other."""
    import datetime

    import torch
    import torch.distributed as dist

    from ganzoo import nn
    from ganzoo.core import distributed
    from ganzoo.core.errors import TrainingError

    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=SECONDS)
    dist.init_process_group("gloo", f"file://{folder}/meeting", timeout, world_size=2, rank=rank)
    fixture = ArchitectureFixture(_load(*card), overrides)
    gan = fixture.build()
    nn.synchronise(gan)
    state = fixture.training_state(gan)
    try:
        for _ in range(STEPS):
            fixture.step(state)
            distributed.check_same(state.gan.state_dict(), state.step, state.gan.state())
    except TrainingError as difference:
        return str(difference).split(". Resume", 1)[0]
    return ""


def _load(place: str, name: str) -> Any:
    if place.endswith(".py"):
        return plugin_file.load_named(f"{place}:{name}").card
    import importlib

    return operator.attrgetter(name)(importlib.import_module(place))()

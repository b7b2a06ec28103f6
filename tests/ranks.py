"""Processes for tests: forked from a server that has imported what training needs, so that they start at once."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import site
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

_context = multiprocessing.get_context("forkserver")
# torch imports its compiler, for a second, with a process's first optimizer of torch.optim
_PRELOADED = ["ganzoo.api", "ganzoo.testing", "ganzoo.training.session", "ganzoo.training.state", "pytest"]
_context.set_forkserver_preload([*_PRELOADED, "torch.utils.tensorboard", "torch._dynamo", "tests.preloaded"])


def start(work: Callable[..., None], *arguments: Any, **environment: Any) -> BaseProcess:
    """Run `work(*arguments)`, a function of a test module, in a new process with these environment variables.

    Its exit code is 0, or that of the GanzooError, KeyboardInterrupt or SystemExit that `work` raised.
    """
    process = _context.Process(target=_run, args=(work, arguments, environment), daemon=True)
    process.start()
    return process


def together(ranks: int, work: Callable[..., None], *arguments: Any, folder: Path, **environment: Any) -> list[int]:
    """Run `work(*arguments)` on this number of ranks that train together; returns their exit codes."""
    processes = start_ranks(ranks, work, *arguments, folder=folder, **environment)
    with ended(processes):
        return [join(process) for process in processes]


def start_ranks(
    ranks: int, work: Callable[..., None], *arguments: Any, folder: Path, **environment: Any
) -> list[BaseProcess]:
    meeting = folder / f"meeting-{time.monotonic_ns()}"
    return [
        start(_in_world, meeting, work, arguments, RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=ranks, **environment)
        for rank in range(ranks)
    ]


def ganzoo(
    words: Sequence[str], folder: Path, packages: Path, output: Path, columns: int, python: str = sys.executable
) -> tuple[int, str, str]:
    """Run `ganzoo WORDS` in `folder` with the packages of another folder: its exit code, and what it printed.

    stdout and stderr go to files in the folder `output`. Processes that it starts run `python`.
    """
    out, err = output / "stdout", output / "stderr"
    process = start(_ganzoo, words, folder, packages, out, err, python, COLUMNS=columns)
    with ended([process]):
        return join(process, 300), out.read_text(), err.read_text()


def join(process: BaseProcess, seconds: float = 60) -> int:
    process.join(seconds)
    assert process.exitcode is not None, "the process does not end"
    return process.exitcode


@contextlib.contextmanager
def ended(processes: list[BaseProcess]) -> Iterator[None]:
    """Kill the processes on exit, whatever the outcome of the test."""
    try:
        yield
    finally:
        for process in processes:
            process.kill()


def _ganzoo(words: Sequence[str], folder: Path, packages: Path, out: Path, err: Path, python: str) -> None:
    from ganzoo.cli import main
    from ganzoo.core import registry

    for descriptor, file in ((1, out), (2, err)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), descriptor)
    os.chdir(folder)
    sys.executable = python
    sys.path.insert(0, str(packages))
    site.addsitedir(str(packages))  # with what its .pth files name, such as packages installed as editable
    registry.refresh()
    sys.argv = ["ganzoo", *words]
    main()


def _run(work: Callable[..., None], arguments: tuple[Any, ...], environment: dict[str, Any]) -> None:
    from ganzoo.core.errors import GanzooError

    os.environ.update({name: str(value) for name, value in environment.items()})
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import torch

    torch.set_num_threads(1)
    try:
        work(*arguments)
    except GanzooError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:  # printed, with an exit code that no test expects
        traceback.print_exc()
        sys.exit(99)


def _in_world(meeting: Path, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """Ranks connect through a file, since another test might use a port. Their stderr is in the file "output"."""
    import torch.distributed as dist

    from ganzoo.core import distributed

    sys.stderr = (meeting.parent / "output").open("a", buffering=1)
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group(
        "gloo",
        f"file://{meeting}",
        distributed._timeout(),
        world_size=ranks,
        rank=rank,  # type: ignore[arg-type]
    )
    work(*arguments)
    dist.destroy_process_group()

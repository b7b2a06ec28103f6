"""Starts the training runs of a sweep: as processes of this machine, jobs of Slurm, or tasks of Ray."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TextIO

from ganzoo.core.errors import GanzooError, UsageError

PLACES = ("local", "slurm", "ray")
CLUSTER = "slurm"
"""What submitit submits to; its "local" runs the same jobs on this machine."""
SLURM_MINUTES = 24 * 60
"""The time limit that is asked for unless SBATCH_TIMELIMIT says otherwise."""


class Job(Protocol):
    """A training run that was started."""

    def poll(self) -> int | None:
        """Its exit code, None while it waits or runs."""

    def stop(self) -> None:
        """Ask it to write its checkpoint and end."""

    def wait(self) -> None:
        """Return when it has ended."""


Launch = Callable[[Sequence[str], Path], Job]
"""Starts a command whose output is appended to a file."""


def launcher(place: str, root: Path, jobs: int) -> Launch:
    """The launcher for one of PLACES. UsageError, with what to install, if it cannot be used here."""
    return {"local": lambda: _local(jobs), "slurm": lambda: _slurm(root), "ray": _ray}[place]()


class _Process:
    """A process that holds a lock on its log from its first moment to its last, also if it outlives the sweep."""

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str]):
        with log.open("a") as file:
            _lock(file)
            self._process = subprocess.Popen(
                words, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
                start_new_session=True,  # Ctrl-C reaches it through us, once
            )  # fmt: skip
        self.poll = self._process.poll

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> None:
        self._process.wait()


def is_written(log: Path) -> bool:
    """Whether a process that a sweep has started on this machine, this one or another, still runs."""
    try:
        with log.open("a") as file:
            return not _lock(file)
    except OSError:  # it cannot be written; starting a training will say so
        return False


def _lock(file: TextIO) -> bool:
    """Lock an open file; the lock is that of every process that inherits it. False if there is one already."""
    try:
        import fcntl
    except ImportError:  # Windows, where processes do not outlive a sweep that is killed with its console
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _local(jobs: int) -> Launch:
    environment = {**os.environ, "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
    return lambda words, log: _Process(words, log, environment)


def run_command(words: Sequence[str], log: str, folder: str, variables: Mapping[str, str]) -> int:
    """Run a command in `folder`, wherever the cluster has put this process, and return its exit code."""
    os.chdir(folder)
    process = _Process(words, Path(log), {**os.environ, **variables})
    try:
        process.wait()
    except BaseException:  # the job is cancelled: let the training write its checkpoint
        process.stop()
        process.wait()
        raise
    return process.poll() or 0


def _arguments(words: Sequence[str], log: Path) -> tuple[list[str], str, str, dict[str, str]]:
    variables = {name: value for name, value in os.environ.items() if name.startswith("GANZOO_")}
    return list(words), str(log), os.getcwd(), variables


@dataclass(frozen=True, eq=False)
class _ClusterJob:
    """`run_command` somewhere in a cluster: whether it has ended, its result, and how to cancel it."""

    log: Path
    done: Callable[[], bool]
    result: Callable[[], int]
    stop: Callable[[], None]

    def poll(self) -> int | None:
        return self._code() if self.done() else None

    def wait(self) -> None:
        self._code()

    def _code(self) -> int:
        try:
            return self.result()
        except Exception as failure:  # the cluster's: cancelled, out of time, a node that is gone; the log says which
            with self.log.open("a") as file:
                file.write(f"{failure}\n")
            return 1


def _slurm(root: Path) -> Launch:
    try:
        import submitit
    except ImportError:
        raise UsageError("--on slurm needs submitit. Install it with: pip install 'ganzoo-core[slurm]'") from None
    if CLUSTER == "slurm" and shutil.which("sbatch") is None:
        raise UsageError("--on slurm: there is no sbatch here. Run the sweep where Slurm's commands are.")
    executor = submitit.AutoExecutor(folder=root / ".submitit", cluster=CLUSTER)
    executor.update_parameters(name="ganzoo", timeout_min=SLURM_MINUTES)

    def launch(words: Sequence[str], log: Path) -> Job:
        job = executor.submit(run_command, *_arguments(words, log))
        return _ClusterJob(log, job.done, job.result, job.cancel)

    return launch


def _ray() -> Launch:
    try:
        import ray
    except ImportError:
        raise UsageError("--on ray needs Ray. Install it with: pip install 'ganzoo-core[ray]'") from None
    try:
        ray.init(ignore_reinit_error=True, log_to_driver=False)  # the cluster of RAY_ADDRESS, or this machine
    except Exception as failure:  # Ray raises many types where its cluster cannot be reached
        raise GanzooError(f"Ray does not start: {failure}") from failure
    gpus = 1 if ray.cluster_resources().get("GPU") else 0  # without one, a task sees no GPU
    task = ray.remote(run_command).options(num_gpus=gpus, max_retries=0)

    def launch(words: Sequence[str], log: Path) -> Job:
        reference = task.remote(*_arguments(words, log))
        return _ClusterJob(
            log,
            done=lambda: bool(ray.wait([reference], timeout=0)[0]),
            result=lambda: int(ray.get(reference)),
            stop=lambda: ray.cancel(reference),
        )

    return launch

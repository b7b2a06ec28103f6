"""Where the trainings of a sweep run: in processes of this machine, as jobs of Slurm, or as tasks of Ray."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from ganzoo.core.errors import GanzooError, UsageError

PLACES = ("local", "slurm", "ray")
CLUSTER = "slurm"
"""What submitit submits to; its "local" runs the same jobs on this machine."""
SLURM_MINUTES = 24 * 60
"""The time limit that is asked for unless SBATCH_TIMELIMIT says otherwise."""


class Job(Protocol):
    """A training that was started."""

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
    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str]):
        with log.open("a") as file:
            self._process = subprocess.Popen(
                words, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment,
                start_new_session=True,  # Ctrl-C reaches it through us, once
            )  # fmt: skip
        self.poll = self._process.poll

    def stop(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> None:
        self._process.wait()


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


class _SlurmJob:
    def __init__(self, job: Any, log: Path):
        self._job, self._log = job, log

    def poll(self) -> int | None:
        return self._code() if self._job.done() else None

    def stop(self) -> None:
        self._job.cancel()

    def wait(self) -> None:
        self._code()

    def _code(self) -> int:
        try:
            return int(self._job.result())
        except Exception as failure:  # of the job: cancelled, out of time, a node that is gone
            with self._log.open("a") as file:
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
    return lambda words, log: _SlurmJob(executor.submit(run_command, *_arguments(words, log)), log)


class _RayTask:
    def __init__(self, ray: Any, reference: Any, log: Path):
        self._ray, self._reference, self._log = ray, reference, log

    def poll(self) -> int | None:
        done, _ = self._ray.wait([self._reference], timeout=0)
        return self._code() if done else None

    def stop(self) -> None:
        self._ray.cancel(self._reference)

    def wait(self) -> None:
        self._code()

    def _code(self) -> int:
        try:
            return int(self._ray.get(self._reference))
        except Exception as failure:  # of the task: cancelled, or a node that is gone
            with self._log.open("a") as file:
                file.write(f"{failure}\n")
            return 1


def _ray() -> Launch:
    try:
        import ray
    except ImportError:
        raise UsageError("--on ray needs Ray. Install it with: pip install 'ganzoo-core[ray]'") from None
    try:
        ray.init(ignore_reinit_error=True, log_to_driver=False)  # the cluster of RAY_ADDRESS, or this machine
    except Exception as failure:
        raise GanzooError(f"Ray does not start: {failure}") from failure
    gpus = 1 if ray.cluster_resources().get("GPU") else 0  # without one, a task sees no GPU
    task = ray.remote(run_command).options(num_gpus=gpus, max_retries=0)
    return lambda words, log: _RayTask(ray, task.remote(*_arguments(words, log)), log)

"""Starting ranks: `ganzoo train --nproc N` is torchrun on one machine; torchrun may restart its processes."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from types import FrameType

from ganzoo.core.errors import UsageError

RANKS = "GANZOO_RANKS"
"""Environment variable of the ranks: a folder in which each makes a file with its process number as the name."""
RANK = f"""
import sys
sys.path[:] = filter(None, sys.path)
import os, signal
signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # until there is something to save
open(os.path.join(os.environ["{RANKS}"], str(os.getpid())), "x").close()
sys.argv[0] = "ganzoo"
from ganzoo.cli import main
main()
"""
"""The program of a rank: `-m ganzoo`, but without importing from the working directory, which may be an unpacked run.

Python's own option for this, -P, is new in 3.11.
"""


def launched() -> bool:
    """Whether torchrun started this process."""
    return "LOCAL_RANK" in os.environ


def is_first_rank() -> bool:
    """Whether this process is rank 0, which writes files and prints, or the only one."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"


def launch(ranks: int, batch_size: int, parts: int, pack: int) -> int:
    """Run this command in `ranks` processes and return 0 or the exit code of the first that failed.

    Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 are forwarded to the ranks, which save a checkpoint. If a rank dies, the others
    are stopped.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from ganzoo.core import distributed

    distributed.check_shares(batch_size, ranks, parts, pack)

    def stop(number: int, _: FrameType | None) -> None:
        for later in stopping:  # the ranks are saving already
            signal.signal(later, signal.SIG_IGN)
        raise SignalException("", signal.Signals(number))

    stopping = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        stopping.append(signal.SIGHUP)
    for number in stopping:
        signal.signal(number, stop)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // ranks)))
    with tempfile.TemporaryDirectory() as logs, tempfile.TemporaryDirectory() as started:
        os.environ[RANKS] = started
        signal.signal(signal.SIGUSR1, lambda number, _: _signal_ranks(started, number))
        config = LaunchConfig(
            min_nodes=1, max_nodes=1, nproc_per_node=ranks, max_restarts=0,
            run_id="ganzoo", rdzv_backend="c10d", rdzv_endpoint="localhost:0",
            signals_to_handle="SIGQUIT", logs_specs=DefaultLogsSpecs(log_dir=logs),
        )  # fmt: skip
        try:
            elastic_launch(config, sys.executable)("-c", RANK, *sys.argv[1:])
        except SignalException as stopped:
            return 128 + stopped.sigval
        except ChildFailedError as failed:
            return _code(failed.get_first_failure()[1].exitcode)
    return 0


def after_restart(resume: str | None, out: str | None) -> tuple[str | None, str | None]:
    """The --resume and --out of a rank that torchrun started: after a restart, --out is the run to resume."""
    if int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) == 0 or resume is not None:
        return resume, out
    if out is None:
        raise UsageError(
            "Under torchrun --max-restarts give --out DIR (or --resume): a restart must find the run again."
        )
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    from ganzoo.training.run import Run

    return (out, None) if restarted and Run.exists(out) else (None, out)


def _signal_ranks(folder: str, number: int) -> None:
    for process in os.listdir(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process), number)


def _code(exit_code: int) -> int:
    return exit_code if exit_code > 0 else 128 - exit_code

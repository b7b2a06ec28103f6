"""ganzoo from Python: train, load, list. The command line is a thin layer over this."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import signal
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ganzoo import config as configs
from ganzoo import registry
from ganzoo.errors import TrainingError, UsageError
from ganzoo.plugin import DataSpec
from ganzoo.training.plan import Plan, Request, entry_of, flat, make, merge
from ganzoo.training.run import Run

if TYPE_CHECKING:
    from ganzoo.gan import GAN
    from ganzoo.training.batches import Batches
    from ganzoo.training.report import Report
    from ganzoo.training.state import TrainingState


def architectures() -> list[str]:
    """The names of the architectures that can be used."""
    return [entry.name for entry in registry.architectures() if entry.error is None]


def datasets() -> list[str]:
    """The names of the data sets that can be used."""
    return [entry.name for entry in registry.datasets() if entry.error is None]


def train(
    architecture: str | None = None,
    *,
    dataset: str | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: str | os.PathLike[str] | None = None,
    checkpoint_every: int | None = None,
    sample_every: int | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    cuda_graph: bool | None = None,
    report: Report | None = None,
    **settings: Any,
) -> Run:
    """Train a GAN and return its run.

    Args:
        architecture: a name from `architectures()`.
        dataset: a name from `datasets()`, such as "mnist" or "folder:photos".
        steps, epochs, minutes: how long; one of them, or none for the architecture's own number of steps.
        seed: of everything random; the same seed on the same machine gives the same weights. Default 0.
        device: "cpu", "cuda", "cuda:1"; default "auto", the first GPU or else the CPU.
        precision: "fp32" (default), "bf16" or "fp16"; on NVIDIA GPUs also "tf32".
        out: directory of the run, new or empty; default `runs/ARCHITECTURE-DATASET-001` and so on.
        resume: directory of a run to continue exactly where its last checkpoint stands; all else is taken from it.
        checkpoint_every, sample_every: in steps; default 1000 and 500.
        data_dir: where data files already are; default the environment's GANZOO_DATA.
        cuda_graph: replay each step on a GPU from one captured graph; default where it works.
        report: hears of progress.
        settings: any setting of the architecture's Config, such as `batch_size=64` or `loss="hinge"`.

    Raises `ganzoo.errors.GanzooError` (UsageError, PluginError, DataError, TrainingError, CheckpointError). Ctrl-C
    writes a checkpoint before KeyboardInterrupt is raised, SIGTERM before SystemExit(143).
    """
    request = Request(
        architecture, dataset, settings, steps, epochs, minutes, seed, device, precision,
        checkpoint_every, sample_every, data_dir, cuda_graph,
    )  # fmt: skip
    if resume is None:
        return start(make(request), out, report)
    if out is not None:
        raise UsageError("A resumed run stays where it is: give --resume or --out, not both.")
    return proceed(Run.open(resume), request, report)


def start(plan: Plan, out: str | os.PathLike[str] | None = None, report: Report | None = None) -> Run:
    """Train `plan` in a new run directory."""
    from ganzoo.training.batches import Batches
    from ganzoo.training.provenance import provenance
    from ganzoo.training.state import TrainingState

    with _reproducible(plan):
        state = TrainingState(plan.build(), plan.seed, plan.precision, plan.identity)
        batches = Batches(plan.data, plan.config.batch_size, plan.seed, state.device)
        name = f"{plan.entry.name}-{plan.dataset.partition(':')[0]}"
        schedule = {"schedule": dataclasses.asdict(plan.schedule), "data_dir": plan.data_dir}
        run = Run.create(out, name, {**plan.identity, **schedule, **provenance(plan.entry)})
        with run.locked():
            return _train(plan, state, batches, run, report, plan.data.notes)


def proceed(run: Run, request: Request, report: Report | None = None) -> Run:
    """Train `run` on from its newest intact checkpoint. `request` may change the schedule and nothing else."""
    from ganzoo.training import checkpoint
    from ganzoo.training.batches import Batches
    from ganzoo.training.provenance import provenance
    from ganzoo.training.state import TrainingState

    entry_of(run.config)
    with run.locked():
        run = Run.open(run.path)  # as the last process that held the lock left it
        path, problems = checkpoint.newest_valid(run.checkpoints)
        saved = checkpoint.read_state(path)
        plan = make(merge(run.config, request))
        changes = configs.difference(flat(saved.get("identity", {})), flat(plan.identity))
        if changes:
            raise UsageError(
                f"A resumed run must stay as {path.name} was trained, but this would change:\n  " + "\n  ".join(changes)
            )
        with _reproducible(plan, saved.get("threads")):
            state = TrainingState(plan.build(), plan.seed, plan.precision, plan.identity)
            state.restore(path, saved)
            batches = Batches(plan.data, plan.config.batch_size, plan.seed, state.device)
            now = provenance(plan.entry)
            notes = [*plan.data.notes, *(f"{problem}; the checkpoint before it is used." for problem in problems)]
            notes += _changed_versions(run, now)
            run.forget_after(state.step)
            run.config |= {"schedule": dataclasses.asdict(plan.schedule), "data_dir": plan.data_dir}
            run.config["resumes"] = [*run.config.get("resumes", []), {"step": state.step, **now}]
            run.write_config()
            return _train(plan, state, batches, run, report, notes)


def load(path: str | os.PathLike[str], device: str | None = None) -> GAN:
    """The GAN of the run at `path`, its generator the moving average, ready to `sample`.

    `device` is as in `train`. Raises UsageError where `path` is no run, CheckpointError where none of its checkpoints
    is intact, PluginError where the architecture's package is not installed.
    """
    from ganzoo.training import checkpoint
    from ganzoo.training.plan import find_device

    run = Run.open(path)
    entry = entry_of(run.config)
    found, problems = checkpoint.newest_valid(run.checkpoints)
    for problem in problems:
        logging.getLogger("ganzoo").warning(f"{problem}; the checkpoint before it is used.")
    data = run.config["dataset"]
    spec = DataSpec(data["channels"], data["size"], data["classes"])
    gan = entry.build(configs.make(entry.card.Config, run.config["settings"]), spec)
    checkpoint.read_weights(found, "model", gan)
    checkpoint.read_weights(found, "ema", gan.generator)
    return gan.to(find_device(device)).eval()


def _changed_versions(run: Run, now: dict[str, Any]) -> list[str]:
    last = [run.config, *run.config.get("resumes", [])][-1]
    changes = configs.difference(last.get("versions", {}), now["versions"])
    return [f"Versions changed, so the resume may not be exact: {', '.join(changes)}."] if changes else []


def _train(
    plan: Plan, state: TrainingState, batches: Batches, run: Run, report: Report | None, notes: Iterable[str]
) -> Run:
    from ganzoo.training import loop
    from ganzoo.training.report import Report, Reports, tensorboard
    from ganzoo.training.signals import StopRequest

    report = report or Report()
    board, problem = tensorboard(run, state.step)
    reports = Reports(report, *board)
    with StopRequest() as stop:
        try:
            reports.start(run, plan.schedule.steps, state.step)
            for note in (*notes, *problem):
                reports.note(note)
            loop.train(state, batches, run, plan.schedule, reports, stop, plan.cuda_graph)
        finally:
            reports.finish()
    if stop.signal == signal.SIGINT:
        raise KeyboardInterrupt
    if stop.signal is not None:
        raise SystemExit(128 + stop.signal)
    return run


@contextlib.contextmanager
def _reproducible(plan: Plan, threads: int | None = None) -> Iterator[None]:
    """Deterministic kernels, the precision of float32 products and the thread count of the run.

    The process's own state is put back afterwards. Memory that runs out is told as what to do about it.
    """
    import torch

    # cuBLAS is deterministic only with a fixed workspace, and reads this before its first call
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    memory: Any = torch.utils.deterministic
    fill, had_threads = memory.fill_uninitialized_memory, torch.get_num_threads()
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False  # guards against reading garbage, at a pass per tensor
    torch.set_num_threads(threads or had_threads)
    products = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    device = torch.device(plan.device)
    gpus = [device.index or 0] if device.type == "cuda" else []
    if gpus:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = plan.precision == "tf32"
    try:
        with torch.random.fork_rng(gpus):
            yield
    except torch.OutOfMemoryError as failure:
        raise TrainingError(
            f"{plan.device} is out of memory with batch_size={plan.config.batch_size} in {plan.precision}. Try "
            f"--batch-size {max(1, plan.config.batch_size // 2)}, --precision bf16, or --no-cuda-graph."
        ) from failure
    finally:
        if gpus:
            torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = products
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = fill
        torch.set_num_threads(had_threads)

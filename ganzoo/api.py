"""ganzoo from Python: train, load, list. The command line is a thin layer over this."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganzoo.core import config as configs
from ganzoo.core import registry
from ganzoo.core.errors import UsageError
from ganzoo.training.config import Plan, Request, entry_of, flat, make, merge
from ganzoo.training.determinism import reproducible
from ganzoo.training.loading import generate_from_inputs, load
from ganzoo.training.run import Run

if TYPE_CHECKING:
    from ganzoo.gan import GAN
    from ganzoo.training.batches import Batches
    from ganzoo.training.callbacks import Report
    from ganzoo.training.state import TrainingState


__all__ = ["architectures", "datasets", "generate_from_inputs", "load", "proceed", "start", "train"]


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
    evaluate_every: int | None = None,
    best_by: str | None = None,
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
        evaluate_every: in steps; measure `best_by` and keep the best checkpoint besides the last. Default never.
        best_by: a metric of `ganzoo evaluate`; default the first of psnr, frechet, optimal_discriminator
            and swd that applies.
        data_dir: where data files already are; default the environment's GANZOO_DATA.
        cuda_graph: replay each step on a GPU from one captured graph; default where it works.
        report: hears of progress.
        settings: any setting of the architecture's Config, such as `batch_size=64` or `loss="hinge"`.

    Raises `ganzoo.core.errors.GanzooError` (UsageError, PluginError, DataError, TrainingError, CheckpointError). Ctrl-C
    writes a checkpoint before KeyboardInterrupt is raised, SIGTERM before SystemExit(143).
    """
    request = Request(
        architecture, dataset, settings, steps, epochs, minutes, seed, device, precision,
        checkpoint_every, sample_every, evaluate_every, best_by, data_dir, cuda_graph,
    )  # fmt: skip
    from ganzoo.core import distributed

    if resume is not None and out is not None:
        raise UsageError("A resumed run stays where it is: give --resume or --out, not both.")
    with distributed.process_group():
        return start(make(request), out, report) if resume is None else proceed(Run.open(resume), request, report)


def start(plan: Plan, out: str | os.PathLike[str] | None = None, report: Report | None = None) -> Run:
    """Train `plan` in a new run directory."""
    from ganzoo.core import distributed
    from ganzoo.training.provenance import provenance
    from ganzoo.training.state import TrainingState

    with reproducible(plan):
        state = TrainingState(plan.build(), plan.seed, plan.precision, plan.identity)
        batches = plan.batches(state.device)
        name = f"{plan.entry.name}-{plan.dataset.partition(':')[0]}"
        schedule = {"schedule": dataclasses.asdict(plan.schedule), "data_dir": plan.data_dir}
        config = {**plan.identity, **schedule, **provenance(plan.entry)}
        run = distributed.on_rank0(lambda: Run.create(out, name, config))
        with _locked(run):
            return _train(plan, state, batches, run, report, plan.data.notes)


def proceed(run: Run, request: Request, report: Report | None = None) -> Run:
    """Train `run` on from its newest intact checkpoint, or from the start if it was stopped before it wrote the first.

    `request` may change the schedule and nothing else.
    """
    from ganzoo.core import distributed
    from ganzoo.training import checkpoint
    from ganzoo.training.provenance import provenance
    from ganzoo.training.state import TrainingState

    entry_of(run.config)
    with _locked(run):
        run = Run.open(run.path)  # as the last process that held the lock left it
        path, problems = distributed.on_rank0(lambda: _where_it_stands(run))
        saved = run.config if path is None else checkpoint.read_state(path)
        plan = make(merge(run.config, request))
        identity = plan.identity
        before: dict[str, Any] = saved.get("identity", {}) if path else {name: saved.get(name) for name in identity}
        if "distribution" in before:
            before = {**before, "distribution": registry.canonical_distribution(before["distribution"])}
        unsaid = flat({"settings": configs.defaults(plan.entry.card.Config)})  # of settings newer than the run
        changes = configs.difference(unsaid | flat(before), flat(identity))
        if changes:
            raise UsageError(
                f"A resumed run must stay as {path.name if path else 'it'} was trained, but this would change:\n  "
                + "\n  ".join(changes)
            )
        ranks = len(saved.get("torch_rng", ())) if path else saved.get("ranks")
        with reproducible(plan, saved.get("threads") if ranks == distributed.size() else None):
            state = TrainingState(plan.build(), plan.seed, plan.precision, identity)
            if path is not None:
                state.restore(path, saved)
            batches = plan.batches(state.device)
            now = provenance(plan.entry)
            notes = [*plan.data.notes, *(f"{problem}; the checkpoint before it is used." for problem in problems)]
            notes += _changed_versions(run, now)
            if plan.schedule.over(state.step, state.seconds):
                notes.append(
                    f"Nothing is left to train: this run is at step {state.step:,}. Give more --steps or --minutes."
                )
            if path is not None and ranks != distributed.size():
                notes.append(
                    f"{path.name} is of {ranks} ranks and goes on with {distributed.size()}: weights, order of the "
                    "data and noise stay as they were; dropout draws anew, and sums are rounded in another order."
                )
            run.config |= {"schedule": dataclasses.asdict(plan.schedule), "data_dir": plan.data_dir}
            run.config["resumes"] = [*run.config.get("resumes", []), {"step": state.step, **now}]
            if distributed.rank() == 0:
                run.forget_after(state.step if path else -1)
                run.write_config()
            return _train(plan, state, batches, run, report, notes)


def _where_it_stands(run: Run) -> tuple[Path | None, list[str]]:
    from ganzoo.training import checkpoint

    return checkpoint.newest_valid(run.checkpoints) if checkpoint.checkpoints(run.checkpoints) else (None, [])


@contextlib.contextmanager
def _locked(run: Run) -> Iterator[None]:
    """`run.locked()` by rank 0, for all."""
    from ganzoo.core import distributed

    with contextlib.ExitStack() as held:
        distributed.on_rank0(lambda: held.enter_context(run.locked()))
        yield


def _changed_versions(run: Run, now: dict[str, Any]) -> list[str]:
    last = [run.config, *run.config.get("resumes", [])][-1]
    changes = configs.difference(last.get("versions", {}), now["versions"])
    return [f"Versions changed, so the resume may not be exact: {', '.join(changes)}."] if changes else []


def _of_parts(gan: GAN) -> list[str]:
    from ganzoo.nn import uses_batch_statistics

    size, parts = gan.config.batch_size, gan.config.accumulate
    if parts == 1 or not uses_batch_statistics(gan):
        return []
    return [
        f"accumulate={parts} with batch norm: its statistics are those of each part's {size // parts} {gan.spec.kind}, "
        f"so this is not quite the training that takes {size} at once."
    ]


def _train(
    plan: Plan, state: TrainingState, batches: Batches, run: Run, report: Report | None, notes: Iterable[str]
) -> Run:
    from ganzoo.core import distributed
    from ganzoo.training import loop
    from ganzoo.training.callbacks import Report, Reports, tensorboard
    from ganzoo.training.interrupts import StopRequest

    board, problem = tensorboard(run, state.step) if distributed.rank() == 0 else ([], [])
    reports = Reports(report or Report(), *board) if distributed.rank() == 0 else Reports()
    with StopRequest() as stop:
        try:
            reports.start(run, plan.schedule.steps, state.step)
            for note in (*notes, *_of_parts(state.gan), *problem):
                reports.note(note)
            evaluate = None
            if plan.schedule.evaluate_every:
                from ganzoo.evaluation.best_checkpoint import Best

                evaluate = Best(run, state, plan.schedule.best_by).measure
            loop.train(state, batches, run, plan.schedule, reports, stop, plan.cuda_graph, evaluate)
        finally:
            reports.finish()
    if stop.signal == signal.SIGINT:
        raise KeyboardInterrupt
    if stop.signal is not None:
        raise SystemExit(128 + stop.signal)
    return run

"""Finds hardware that computes wrongly: a step computed twice from the same state must give the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ganzoo.core import distributed
from ganzoo.core.errors import TrainingError
from ganzoo.gan import Logs
from ganzoo.training import checkpoint
from ganzoo.training.run import Run
from ganzoo.training.state import TrainingState
from ganzoo.training.state_snapshot import Snapshot

FOLDER = "verification"


def compute_twice(state: TrainingState, run: Run, step: Callable[[], Logs]) -> Logs:
    """The logs of `step`, computed twice from the same `state`.

    Raises TrainingError on every rank if the results of any rank differ in a single bit. Both results of such a rank
    are then in the run's folder `verification`.
    """
    before = Snapshot(state)
    logs = {name: value.clone() for name, value in step().items()}  # a CUDA graph overwrites them
    first = Snapshot(state)
    before.restore(state, fresh=True)
    step()
    second = Snapshot(state)
    different = first.differences(second)
    number = state.step + 1
    folder = run.path / FOLDER / f"step-{number:08d}-rank-{distributed.rank()}"
    if different:
        _keep(first, second, folder)
    if distributed.all_reduce_max(len(different)) == 0:
        return logs
    where = f"{len(different)} tensors differ, the first of them {different[0]}" if different else "on another rank"
    raise TrainingError(
        f"Step {number} was computed twice from the same state, with different results: {where}. Both results are in "
        f"{folder.parent}. The machine may be faulty, or a plugin draws random numbers of its own. Resume from the "
        "last checkpoint, if possible on another machine."
    )


def _keep(first: Snapshot, second: Snapshot, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, result in (("first", first), ("second", second)):
        tensors = {key: tensor.to("cpu").contiguous() for key, tensor in result.tensors.items()}
        checkpoint.write_weights(folder / f"{name}.safetensors", tensors)

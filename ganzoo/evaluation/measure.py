"""`evaluate`: from a run on disk to findings on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ganzoo import data
from ganzoo.core.errors import DataError, SplitError, UsageError
from ganzoo.core.spec import Split
from ganzoo.evaluation.context import Subject
from ganzoo.evaluation.metrics import metrics as every_metric
from ganzoo.evaluation.metrics import named
from ganzoo.evaluation.results import Evaluation
from ganzoo.gan import GAN
from ganzoo.training import checkpoint
from ganzoo.training.loading import load
from ganzoo.training.run import Run

if TYPE_CHECKING:
    from ganzoo.data import Data

SAMPLES = 10_000


def evaluate(
    run: Run | str | os.PathLike[str],
    *,
    metrics: Sequence[str] | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    reference: Split | None = None,
    device: str | None = None,
    best: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Measure what the newest checkpoint of `run` has learnt; the result is also in the run's evaluation.json.

    Args:
        run: a run or its directory.
        metrics: names from `ganzoo.evaluation.metrics.metrics()`; default all that apply to the run.
        samples: how many images are drawn from the generator's moving average.
        seed: of the samples and of everything random in the metrics.
        reference: the split whose images samples are compared with; default "test", or "train" where there is no test.
        best: measure the best checkpoint by `evaluate_every`, not the newest.
        device, data_dir: as in `ganzoo.train`; default where the run's data were.
        progress: is told in a few words what is being done.

    Raises UsageError for an unknown metric, or one that was asked for and does not apply; DataError where the data are
    missing or are not those of the run; CheckpointError where no checkpoint is intact.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    tell = progress or (lambda _: None)
    chosen = (
        named(metrics) if metrics is not None else [metric for metric in every_metric().values() if metric.by_default]
    )
    if samples < 1:
        raise UsageError(f"samples={samples} is not valid: expected an integer above 0.")
    gan, step = _newest(run, device, best)
    train, test = splits(run, data_dir)
    subject = Subject(gan, train, test, samples, seed, reference, tell, data_dir or run.config["data_dir"])
    result = Evaluation(run.path.name, step)
    tell(f"drawing {samples:,} samples")
    refusals = {metric.name: why for metric in chosen if (why := metric.why_not(subject))}
    if metrics is not None and refusals:
        raise UsageError("\n".join(f"{name} does not apply to {run.path}: it {why}." for name, why in refusals.items()))
    result.skipped = refusals
    for metric in chosen:
        if metric.name not in refusals:
            tell(metric.name)
            began = time.monotonic()
            result.add(run, metric.name, metric.measure(subject), time.monotonic() - began)
    result.write(run)
    return result


def _newest(run: Run, device: str | None, best: bool) -> tuple[GAN, str]:
    """The GAN of the newest intact checkpoint and the name of that, also while a training writes new ones."""
    while True:
        path, _ = checkpoint.newest_valid(run.checkpoint_dir(best))
        gan = load(run.path, device, best)
        if checkpoint.newest_valid(run.checkpoint_dir(best))[0] == path:
            return gan, path.name


def splits(run: Run, data_dir: str | os.PathLike[str] | None = None) -> tuple[Data, Data | None]:
    """The images `run` was trained on, checked by their hash, and the test images where the data set has any."""
    said = run.config["dataset"]
    size = run.config["settings"].get("image_size")
    where = data_dir or run.config["data_dir"]
    train = data.open(said["name"], image_size=size, data_dir=where)
    if train.sha256 != said.get("sha256"):
        raise DataError(f"{said['name']} is not what {run.path} was trained on: its images have changed since.")
    try:
        return train, data.open(said["name"], split="test", image_size=size, data_dir=where)
    except SplitError:
        return train, None

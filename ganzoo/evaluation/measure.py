"""`evaluate`: measure a run's checkpoint and store the results in the run."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ganzoo import data
from ganzoo.core import config as configs
from ganzoo.core.entry_points import METRICS, owner
from ganzoo.core.errors import CheckpointError, DataError, SplitError, UsageError
from ganzoo.core.spec import Split
from ganzoo.evaluation.context import EvaluationContext
from ganzoo.evaluation.metric import Metric
from ganzoo.evaluation.metrics import all_metrics, get_metrics
from ganzoo.evaluation.results import Evaluation
from ganzoo.gan import GAN
from ganzoo.gan.sampling import checked_settings
from ganzoo.training.loading import load_checkpoint, newest_checkpoint
from ganzoo.training.run import Run
from ganzoo.training.run_config import kind_of, moved_hint

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
    dataset: str | None = None,
    sampling: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate the newest checkpoint of `run`; the result is also written to the run's evaluation.json.

    Args:
        run: a run or its directory.
        metrics: names from `ganzoo.evaluation.metrics.all_metrics()`; default all that apply to the run.
        samples: number of samples drawn from the generator's moving average, at least 1.
        seed: random seed of the samples and of the metrics.
        reference: the split whose images samples are compared with; default "test", or "train" if there is no test
            split.
        best: evaluate the best checkpoint by `evaluate_every` instead of the newest.
        device: as in `ganzoo.train`.
        data_dir: as in `ganzoo.train`; default the directory that the run was trained with.
        dataset: the name of the run's data set where its files are now, if they have moved.
        sampling: sampling settings of the architecture, as in `GAN.sample`; part of the protocol.
        progress: called with a short description of each step.

    Raises UsageError if a requested metric is unknown or does not apply, DataError if the data are missing or differ
    from those of the run, CheckpointError if no checkpoint is intact.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    progress = progress or (lambda _: None)
    chosen = chosen_metrics(metrics)
    samples, seed = configs.integer("samples", samples, ge=1), configs.integer("seed", seed, ge=0, le=configs.MAX_SEED)
    gan, step = _load_newest(run, device, best)
    usual, settings = configs.defaults(gan.sampling_type), None
    if sampling:
        checked = configs.to_dict(checked_settings(gan.sampling_type, sampling))
        settings = {name: value for name, value in checked.items() if value != usual[name]}
    train, test = load_splits(run, data_dir, dataset)
    where = data_dir or run.config["data_dir"]
    context = EvaluationContext(gan, train, test, samples, seed, reference, progress, where, settings)
    progress(f"drawing {samples:,} samples")
    evaluation = Evaluation(run.model or run.path.name, step)
    measure(context, chosen, evaluation, run.label, metrics is not None, run)
    evaluation.write(run)
    return evaluation


def chosen_metrics(names: Sequence[str] | None) -> list[Metric]:
    """The metrics called `names`, or those that are measured by default."""
    if names is None:
        return [metric for metric in all_metrics().values() if metric.default]
    return get_metrics(names)


def measure(
    context: EvaluationContext,
    metrics: Sequence[Metric],
    evaluation: Evaluation,
    name: str,
    asked: bool,
    run: Run | None = None,
) -> None:
    """Add the results of `metrics` to `evaluation`, and their pictures to `run`, if there is one.

    If the metrics were `asked` for, UsageError if one does not apply to what messages call `name`, and failures are
    raised; else they are skipped.
    """
    progress = context.progress or (lambda _: None)
    skipped = {metric.name: reason for metric in metrics if (reason := metric.inapplicable_reason(context))}
    if asked and skipped:
        raise UsageError("\n".join(f"{key} does not apply to {name}: it {reason}." for key, reason in skipped.items()))
    evaluation.skipped |= skipped
    for metric in metrics:
        if metric.name not in skipped:
            progress(metric.name)
            start = time.monotonic()
            try:
                result = metric.measure(context)
            except Exception as failure:  # a metric of another package may raise anything
                if asked or owner(METRICS, metric.name) is None:
                    raise
                evaluation.skipped[metric.name] = f"failed: {type(failure).__name__}: {failure}"
                logging.getLogger("ganzoo").warning(f"The metric {metric.name} failed: {failure}")
                continue
            evaluation.add(run, metric.name, result, time.monotonic() - start)


def load_splits(
    run: Run, data_dir: str | os.PathLike[str] | None = None, moved: str | None = None
) -> tuple[Data, Data | None]:
    """Load the data `run` was trained on, verified by their hash, and the test split, or None if there is none.

    `moved` is the data set's name where the files are now, if not as the run says.
    """
    trained = run.config["dataset"]
    name = trained["name"] if moved is None else data.absolute_name(moved)
    where = data_dir or run.config["data_dir"]
    if kind_of(name) != kind_of(trained["name"]):
        raise UsageError(f"{moved} cannot be what {run.label} was trained on, which is {trained['name']}.")
    try:
        train = data.open(name, image_size=run.image_size, data_dir=where)
    except DataError as failure:
        raise type(failure)(f"{failure}{'' if moved else moved_hint(run.config)}") from failure
    if train.sha256 != trained.get("sha256"):
        raise DataError(f"{name} is not what {run.label} was trained on: its images have changed since.")
    try:
        return train, data.open(name, split="test", image_size=run.image_size, data_dir=where)
    except SplitError:
        return train, None


def _load_newest(run: Run, device: str | None, best: bool) -> tuple[GAN, str]:
    """The GAN of the newest intact checkpoint and the checkpoint's name.

    A training process may delete the checkpoint before it is read; then a newer one exists and is read instead.
    """
    while True:
        path = newest_checkpoint(run, best)
        try:
            return load_checkpoint(run, path, device), path.name
        except CheckpointError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise

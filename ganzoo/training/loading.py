"""A trained GAN from its run directory, ready to sample."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ganzoo import data
from ganzoo.core import config as configs
from ganzoo.core.errors import GanzooError, UsageError, memory_exhausted
from ganzoo.core.spec import INPUT, Split
from ganzoo.core.text import printable
from ganzoo.gan import GAN, build
from ganzoo.training import checkpoint
from ganzoo.training.config import find_device
from ganzoo.training.ema import AveragedNetworks
from ganzoo.training.run import Run
from ganzoo.training.run_config import architecture_of


def load(path: str | os.PathLike[str], device: str | None = None, best: bool = False) -> GAN:
    """The GAN of the run at `path` with the moving average as its generator, ready to `sample`.

    Args:
        path: the run's directory.
        device: as in `ganzoo.train`.
        best: load the best checkpoint by `evaluate_every` instead of the newest.

    Raises UsageError if `path` is not a run, CheckpointError if no checkpoint is intact, PluginError if the
    architecture's package is not installed.
    """
    run = Run.open(path)
    architecture_of(run.config)  # report a missing package before anything else
    return load_checkpoint(run, newest_checkpoint(run, best), device)


def newest_checkpoint(run: Run, best: bool = False) -> Path:
    """The newest intact checkpoint of `run`, or its best one; logs a warning for each damaged checkpoint it skips."""
    path, problems = checkpoint.newest_valid(run.checkpoint_dir(best))
    for problem in problems:
        logging.getLogger("ganzoo").warning(printable(f"{problem}; the previous checkpoint is used instead."))
    return path


def load_checkpoint(run: Run, path: Path, device: str | None = None) -> GAN:
    """The GAN of `run` from the verified checkpoint at `path`, with the moving average as its generator."""
    gan = _build(run)
    checkpoint.read_weights(path, "model", gan)
    checkpoint.read_weights(path, "ema", AveragedNetworks(dict(gan.named_children())))
    return gan.to(find_device(device)).eval()


def _build(run: Run) -> GAN:
    """The networks of `run`, untrained. GanzooError if they cannot be built from its config.json."""
    entry = architecture_of(run.config)
    settings = configs.make(entry.card.Config, run.config["settings"])
    try:
        gan = build(entry, settings, run.spec)
        gan.class_names = tuple(run.config["dataset"]["class_names"])
        return gan
    except Exception as failure:  # settings of an edited run may make any code of a plugin fail
        if isinstance(failure, GanzooError) or memory_exhausted(failure):
            raise
        raise GanzooError(f"The networks of {run.path} cannot be built from its config.json: {failure}") from failure


def generate_from_inputs(
    gan: GAN,
    run: Run,
    count: int,
    dataset: str | None = None,
    split: Split = "test",
    seed: int | None = None,
    sampling: Mapping[str, Any] | None = None,
    labels: Tensor | None = None,
) -> dict[str, Tensor]:
    """Outputs of the `gan` of `run` for the first `count` inputs: "inputs", "images", "targets", as they are stored.

    Inputs come from the run's data set, by default from its held-out part, or from `dataset`; if that has no inputs,
    its images are the inputs and there are no targets, nor are there any of unpaired data. Raises UsageError if there
    are too few inputs or they do not fit.
    """
    name = dataset or run.config["dataset"]["name"]
    loaded = data.open(name, split=split, image_size=run.image_size, data_dir=run.config["data_dir"])
    chosen = np.arange(min([count, len(loaded), *(len(values) for values in loaded.arrays.values())]))
    if len(chosen) < count:
        raise UsageError(f"{name} has {len(chosen)} {split} {loaded.spec.kind}, not {count}.")
    given = {name: values for name, values in loaded.given_with(chosen).items() if name in gan.spec.given}
    targets = torch.from_numpy(np.array(loaded.values[chosen]))
    if INPUT in gan.spec.given:
        given.setdefault(INPUT, targets)
        expected, found = gan.spec.given[INPUT], loaded.spec.given.get(INPUT, loaded.spec.target)
        if found != expected:
            raise UsageError(f"{name} has inputs of {found}; this GAN's are {expected}.")
    outputs = {**({"inputs": given[INPUT]} if INPUT in given else {})}
    outputs[gan.spec.kind] = gan.sample(count, labels, seed, given=given, sampling=sampling)
    return outputs | ({"targets": targets} if loaded.paired and loaded.aligned else {})

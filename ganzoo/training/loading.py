"""A trained GAN from its run directory, ready to sample."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from torch import Tensor

from ganzoo import data
from ganzoo.core import config as configs
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import Split
from ganzoo.gan import GAN, build
from ganzoo.training import checkpoint
from ganzoo.training.config import entry_of, find_device
from ganzoo.training.run import Run


def load(path: str | os.PathLike[str], device: str | None = None, best: bool = False) -> GAN:
    """The GAN of the run at `path`, its generator the moving average, ready to `sample`.

    It is that of the last checkpoint or, with `best`, of the best one by `evaluate_every`. `device` is as in `train`.
    Raises UsageError where `path` is no run, CheckpointError where none of its checkpoints is intact, PluginError where
    the architecture's package is not installed.
    """
    run = Run.open(path)
    return load_checkpoint(run, newest_checkpoint(run, best), device)


def newest_checkpoint(run: Run, best: bool = False) -> Path:
    """The newest intact checkpoint of `run`, or its best one; logs a warning for each damaged checkpoint it skips."""
    path, problems = checkpoint.newest_valid(run.kept(best))
    for problem in problems:
        logging.getLogger("ganzoo").warning(f"{problem}; the checkpoint before it is used.")
    return path


def load_checkpoint(run: Run, path: Path, device: str | None = None) -> GAN:
    """Load the GAN of `run` from the verified checkpoint at `path`, its generator the moving average."""
    entry = entry_of(run.config)
    gan = build(entry, configs.make(entry.card.Config, run.config["settings"]), run.spec)
    checkpoint.read_weights(path, "model", gan)
    checkpoint.read_weights(path, "ema", gan.generator)
    return gan.to(find_device(device)).eval()


def generate_from_inputs(
    gan: GAN, run: Run, count: int, dataset: str | None = None, split: Split = "test", seed: int | None = None
) -> dict[str, Tensor]:
    """What the paired `gan` of `run` makes of the first `count` input images: "inputs", "images" and "targets", uint8.

    They are of the run's own data set, by default of the part that was held out. In another `dataset` without pairs the
    images themselves are the inputs, and there are no targets.
    """
    name = dataset or run.config["dataset"]["name"]
    found = data.open(name, split=split, image_size=gan.spec.size, data_dir=run.config["data_dir"])
    assert isinstance(found, data.ImageData), "an image_size is refused where there are no images"
    if len(found) < count:
        raise UsageError(f"{name} has {len(found)} {split} images, not {count}.")
    inputs, targets = found.examples(count)
    if inputs.shape[1] != gan.spec.inputs:
        raise UsageError(f"{name} has input images of {inputs.shape[1]} channels; this GAN's have {gan.spec.inputs}.")
    made = {"inputs": inputs, "images": gan.sample(count, seed=seed, inputs=inputs)}
    return made | ({"targets": targets} if found.paired else {})

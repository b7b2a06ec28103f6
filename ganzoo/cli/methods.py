"""The methods of `ganzoo sample --method`: each returns samples, and a note on how they came about."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from ganzoo.gan import GAN
    from ganzoo.latents import Calibrated, Selection
    from ganzoo.training.run import Run

Method = Callable[["Run", "GAN", int, "Tensor | None", int], "tuple[Tensor, str]"]


def _topk(run: Run, gan: GAN, count: int, labels: Any, seed: int) -> tuple[Tensor, str]:
    from ganzoo import latents

    return _rendered(gan, count, latents.best(gan, latents.own_score(gan), count, labels, seed))


def _drs(run: Run, gan: GAN, count: int, labels: Any, seed: int) -> tuple[Tensor, str]:
    from ganzoo import latents

    calibrated, _, _ = _calibrated(run, gan, seed)
    return _rendered(gan, count, latents.rejection(gan, calibrated, count, labels, seed), calibrated)


def _mh(run: Run, gan: GAN, count: int, labels: Any, seed: int) -> tuple[Tensor, str]:
    from ganzoo import latents

    calibrated, real, real_labels = _calibrated(run, gan, seed)
    chosen = latents.metropolis_hastings(gan, calibrated, real, real_labels, count, labels, seed)
    return _rendered(gan, count, chosen, calibrated)


METHODS: dict[str, Method] = {"topk": _topk, "drs": _drs, "mh": _mh}


def _rendered(gan: GAN, count: int, chosen: Selection, calibrated: Calibrated | None = None) -> tuple[Tensor, str]:
    from ganzoo import latents

    note = f", chosen from {chosen.drawn:,}"
    if calibrated is not None:
        note += f" by a discriminator calibrated to Z = {calibrated.z:.1f} (within about 2 is right)"
    return latents.render(gan, chosen.latents), note


def _calibrated(run: Run, gan: GAN, seed: int) -> tuple[Calibrated, Tensor, Tensor | None]:
    """The discriminator, trained on and calibrated with the run's data; held-out data, or else the data, and labels."""
    import numpy as np
    import torch

    from ganzoo import latents
    from ganzoo.cli.console import Console
    from ganzoo.cli.evaluate import progress
    from ganzoo.core.spec import UNKNOWN_LABEL
    from ganzoo.evaluation.measure import load_splits

    latents.require_latent(gan)
    splits = []
    train, test = load_splits(run)
    for data in (train, test or train):
        values, labels = torch.from_numpy(np.array(data.values)), None
        if gan.spec.classes and data.labels is not None:
            labels = torch.from_numpy(data.labels)
            values, labels = values[labels != UNKNOWN_LABEL], labels[labels != UNKNOWN_LABEL]
        splits.append((values, labels))
    (real, real_labels), (held_out, held_out_labels) = splits
    with progress(Console(highlight=False)) as update:
        calibrated = latents.calibrate(
            gan, real, real_labels, held_out, held_out_labels, seed=seed,
            progress=lambda step: update(f"calibrating the discriminator: step {step:,}"),
        )  # fmt: skip
    return calibrated, held_out, held_out_labels

"""Evaluation of given samples, whatever made them: a data set by name, an .npz file, a generator in an .onnx file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ganzoo import data
from ganzoo.core import config as configs
from ganzoo.core.errors import DataError, GanzooError, SplitError, UsageError
from ganzoo.core.files import check_regular
from ganzoo.core.spec import DataSpec, Split
from ganzoo.data.images import ImageData, sha256_of
from ganzoo.data.points import PointData
from ganzoo.evaluation import onnx_samples
from ganzoo.evaluation.context import EvaluationContext
from ganzoo.evaluation.measure import SAMPLES, chosen_metrics, measure
from ganzoo.evaluation.results import Evaluation
from ganzoo.training.config import find_device

if TYPE_CHECKING:
    from ganzoo.data import Data


def evaluate_samples(
    samples: str,
    against: str,
    *,
    metrics: Sequence[str] | None = None,
    count: int = SAMPLES,
    seed: int = 0,
    reference: Split | None = None,
    device: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate `samples` as `evaluate` evaluates those of a GAN that was trained on the data `against`.

    Both are names of data sets ("folder:PATH", "mnist") or .npz files with the array `images` or `points`, and
    `labels` if they have classes, the numbers of the classes of `against`; `samples` may also be a generator in an
    .onnx file, from which `count` are drawn. Images of a data set are scaled to the size of `against`, if that is
    square. At most `count` samples are used, drawn without replacement. Nothing is written. Raises UsageError if the
    two do not fit each other.
    """
    count, seed = configs.integer("count", count, ge=1), configs.integer("seed", seed, ge=0, le=configs.MAX_SEED)
    train, test = _splits(against, data_dir)
    if samples.endswith(".onnx"):
        given = _loaded(samples, *onnx_samples.draw(samples, count, seed))
    else:
        size = None if samples.endswith(".npz") else train.spec.side
        given = _read(samples, size, data_dir, train.class_names)
    if given.spec.target != train.spec.target and given.spec.shape != train.spec.shape:
        raise UsageError(f"{samples} has {given.spec.target}, and {against} has {train.spec.target}.")
    stand_in: Any = _Given(given, train, count, seed, find_device(device))
    context = EvaluationContext(stand_in, train, test, len(stand_in.values), seed, reference, progress, data_dir)
    evaluation = Evaluation(samples, f"against {against}")
    measure(context, chosen_metrics(metrics), evaluation, samples, metrics is not None)
    return evaluation


class _Given:
    """In the place of a GAN: it "draws" given samples, and has no networks."""

    paired = False

    def __init__(self, given: Data, train: Data, count: int, seed: int, device: torch.device):
        chosen = np.random.default_rng(seed).permutation(len(given))[:count]
        self.values = torch.from_numpy(np.array(given.values[chosen]))
        labelled = (
            given.labels is not None and given.class_names == train.class_names and bool((given.labels >= 0).all())
        )
        self.labels = torch.from_numpy(given.labels[chosen]) if labelled and given.labels is not None else None
        self.device = device
        target = train.spec.target
        self.spec = DataSpec(target=target, given=train.spec.given if labelled else {})
        self.classes = self.spec.classes
        self.conditional = labelled

    def class_labels(self, count: int) -> Tensor | None:
        return self.labels

    def sample(self, count: int, *_: object, **__: object) -> Tensor:
        return self.values


def _splits(name: str, data_dir: str | os.PathLike[str] | None) -> tuple[Data, Data | None]:
    train = _read(name, None, data_dir)
    if name.endswith(".npz"):
        return train, None
    try:
        return train, data.open(name, split="test", image_size=train.spec.side, data_dir=data_dir)
    except SplitError:
        return train, None


def _read(
    name: str, size: int | None, data_dir: str | os.PathLike[str] | None, class_names: tuple[str, ...] = ()
) -> Data:
    """The training split of a data set, or the arrays of an .npz file, whose labels are numbers of `class_names`."""
    if not name.endswith(".npz"):
        return data.open(name, image_size=size, data_dir=data_dir)
    try:
        check_regular(Path(name))
        with np.load(name, allow_pickle=False) as stored:
            arrays = {key: stored[key] for key in ("images", "points", "labels") if key in stored}
    except FileNotFoundError:
        raise UsageError(f"{name} does not exist.") from None
    except Exception as failure:  # numpy and zipfile raise many things for damaged files
        raise GanzooError(f"{name} cannot be read: {failure}") from failure
    return _loaded(name, arrays, class_names)


def _loaded(name: str, arrays: Mapping[str, Any], class_names: tuple[str, ...] = ()) -> Data:
    """The arrays of an .npz file as data; labels that are no numbers of `class_names` get names of their own."""
    labels = arrays.get("labels")
    if labels is not None and (
        labels.ndim != 1 or labels.dtype.kind not in "iu" or not len(labels) or labels.min() < 0
    ):
        raise DataError(f"{name}: expected labels as whole numbers [N] from 0.")
    names: tuple[str, ...] = ()
    if labels is not None:
        labels, count = labels.astype(np.int64), int(labels.max()) + 1
        names = class_names if count <= len(class_names) else tuple(map(str, range(count)))
    if "images" in arrays:
        images = arrays["images"]
        return ImageData(images, labels, names, name, "train", sha256_of(images, labels))
    if "points" in arrays:
        points = arrays["points"]
        points = points.astype(np.float32) if points.dtype == np.float64 else points
        return PointData(points, labels, names, name, "train", sha256_of(points, labels))
    raise UsageError(
        f"{name} holds neither images nor points: expected a file that ganzoo sample --out FILE.npz wrote."
    )

"""The feature extractor: a small classifier of a labelled data set, whose features and predictions the metrics use.

It is trained once per data set, on the training split only, in under two minutes on two cores, and cached under the
hash of the data. It shares no weights with any GAN. Its accuracy on unseen images is part of every protocol: a
classifier that is 75% accurate cannot distinguish a label accuracy of 90% from one of 100%.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ganzoo.core.files import lock
from ganzoo.core.spec import UNKNOWN_LABEL, DataLocation
from ganzoo.data.cache import scratch
from ganzoo.data.images import resize
from ganzoo.data.modality import as_images
from ganzoo.training.checkpoint import write_weights

VERSION = 1
"""Part of the cache key: increase it with every change that affects the trained weights."""
CACHE_FOLDER = "judges"
"""The name under which earlier releases cached classifiers; a new name would retrain them all."""
MIN_SIDE = 4
MIN_LABELLED = 4
"""Fewer training images make no batch: batch norm needs two, and some are held out."""
MAX_SIDE = 32
"""Larger images are downscaled, as FID does for Inception."""
FEATURES = 128
BATCH = 128
MAX_EPOCHS = 40
MIN_STEPS = 500
"""Lower bound for small data sets."""
MAX_PIXELS = 4 * 60_000 * 28 * 28
"""Upper bound on the pixels processed in all epochs together, which bounds the training time for any data set."""
HELD_OUT = 0.1
"""Share of the training images used to test the classifier if the data set has no test split."""
SEED = 7

if TYPE_CHECKING:
    from ganzoo.data import Data

Progress = Callable[[str], None]


class Classifier(nn.Module):
    """Four 3x3 convolutions, two with pooling, one hidden layer of features, logits.

    Images have at least MIN_SIDE pixels a side.
    """

    def __init__(self, channels: int, size: int, classes: int):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, pooled in ((channels, 32, True), (32, 64, False), (64, 64, True), (64, 128, False)):
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
            layers += [nn.MaxPool2d(2)] if pooled else []  # before normalization, to save work
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        flat = 128 * (size // 4) ** 2
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(flat, FEATURES), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(FEATURES, classes))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return features [N, 128] and logits [N, classes] of images [N, C, size, size] in [-1, 1]."""
        features = self.body(images)
        return features, self.head(features)


@dataclass(frozen=True, eq=False)
class FeatureExtractor:
    """A trained classifier with its accuracy and identity.

    accuracy: share of `tested_on` unseen images that it classifies correctly.
    sha256: hash of the weights; values are comparable only if it is equal.
    """

    network: Classifier
    size: int
    data: str
    accuracy: float
    tested_on: int
    sha256: str

    @classmethod
    def load_or_train(
        cls,
        train: Data,
        test: Data | None,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
        cache: Path | None = None,
    ) -> FeatureExtractor:
        """Load the classifier of this data from the cache, or train it; concurrent processes train it only once.

        `cache` is the folder of classifiers, by default in the user's cache. Raises DataError if it is not writable.
        """
        folder = cache or DataLocation.find().cache / CACHE_FOLDER
        identity = json.dumps([VERSION, train.sha256, test.sha256 if test else None])
        file = folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.safetensors"
        extractor = _read(file, train)
        if extractor is None:
            with scratch(folder) as partial, lock(file.with_suffix(".lock")):
                extractor = _read(file, train)
                if extractor is None:
                    network, facts = train_classifier(train, test, torch.device(device), progress or (lambda _: None))
                    write_weights(partial / file.name, network.state_dict(), facts)
                    (partial / file.name).replace(file)
                    extractor = _read(file, train)
        assert extractor is not None
        extractor.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return extractor

    @property
    def protocol(self) -> dict[str, Any]:
        """The extractor's entries in a protocol. Do not reword them: stored results would no longer be comparable."""
        return {
            "extractor": f"judge of {self.data}, {FEATURES} features",
            "extractor_accuracy": self.accuracy,
            "extractor_tested_on": self.tested_on,
            "extractor_sha256": self.sha256[:16],
            "resize": f"to {self.size}, bilinear, antialiased" if self.size == MAX_SIDE else "none",
        }

    @torch.no_grad()
    def __call__(self, images: npt.NDArray[np.uint8], chunk: int = 500) -> tuple[Tensor, Tensor]:
        """Return features float32 [N, 128] and logits [N, classes] of images uint8 [N, C, H, W]."""
        device = next(self.network.parameters()).device
        parts = [self.network(_prepare(images[i : i + chunk], self.size, device)) for i in range(0, len(images), chunk)]
        features, logits = zip(*parts)
        return torch.cat(features), torch.cat(logits)

    def differentiable(self, images: Tensor) -> Tensor:
        """Features [N, 128], with their graph, of images in [-1, 1], [N, C, H, W]."""
        if images.shape[2:] != (self.size, self.size):
            images = F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True)
        features: Tensor = self.network(images)[0]
        return features


def train_classifier(
    train: Data, test: Data | None, device: torch.device, progress: Progress
) -> tuple[Classifier, dict[str, str]]:
    """Train a classifier on `train`; return it, on the CPU, with the metadata to store with it."""
    assert train.labels is not None
    rng = np.random.default_rng(SEED)
    chosen = rng.permutation(len(train))
    chosen = chosen[train.labels[chosen] != UNKNOWN_LABEL]
    if test is None:
        count = max(1, round(HELD_OUT * len(chosen)))
        held_out, chosen = np.sort(chosen[:count]), chosen[count:]
        test_images, test_labels = _images(train, held_out), train.labels[held_out]
    else:
        assert test.labels is not None
        known = np.flatnonzero(test.labels != UNKNOWN_LABEL)
        test_images, test_labels = _images(test, known), test.labels[known]
    channels, size = _shape(train)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(SEED)
        network = Classifier(channels, size, train.spec.classes)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        _optimize(network, train, chosen, size, rng, progress)
    extractor = FeatureExtractor(network.eval(), size, train.name, 0.0, len(test_labels), "")
    predictions = extractor(test_images)[1].argmax(1).cpu().numpy()
    network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    facts = {
        "accuracy": str(round(float(np.mean(predictions == test_labels)), 6)),
        "tested_on": str(len(test_labels)),
        "sha256": _sha256(network.state_dict()),
        "torch": torch.__version__,
    }
    return network, facts


def _optimize(
    network: Classifier,
    data: Data,
    indices: npt.NDArray[np.int64],
    size: int,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    """Train `network` in place on the images of `data` at `indices`."""
    assert data.labels is not None
    device = next(network.parameters()).device
    batch = min(BATCH, len(indices))
    steps = max(1, min(max(MAX_EPOCHS * len(indices), MIN_STEPS * batch), MAX_PIXELS // size**2) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    max_shift = size // 14
    batches: Iterator[npt.NDArray[np.int64]] = iter(())
    for step in range(steps):
        chosen = next(batches, None)
        if chosen is None:
            batches = iter(rng.permutation(indices)[: len(indices) // batch * batch].reshape(-1, batch))
            chosen = next(batches)
        shift = rng.integers(-max_shift, max_shift + 1, 2).tolist()  # generated objects may be off centre
        images = _prepare(_images(data, chosen), size, device).roll(shift, dims=(2, 3))
        loss = F.cross_entropy(network(images)[1], torch.from_numpy(data.labels[chosen]).to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            progress(f"training the classifier of {data.name} (once): {step / steps:.0%}")


def _images(data: Data, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """The examples at `indices` as images."""
    images = as_images(data.values[indices], data.spec.target)
    assert images is not None
    return images


def _shape(data: Data) -> tuple[int, int]:
    """Channels, and the side to which images are resized: their own if they are square and not too large."""
    channels, *sides = _images(data, np.arange(1)).shape[1:]
    return channels, min(max(sides), MAX_SIDE)


def _prepare(images: npt.NDArray[np.uint8], size: int, device: torch.device) -> Tensor:
    pixels = torch.from_numpy(np.array(resize(images, size)))
    return pixels.to(device, torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)


def _read(file: Path, data: Data) -> FeatureExtractor | None:
    """Read the classifier stored at `file`; None if it is missing or damaged."""
    channels, size = _shape(data)
    with torch.device("meta"):  # the weights come from the file: skip the random initialization
        network = Classifier(channels, size, data.spec.classes)
    try:
        with safe_open(file, "pt") as stored:
            facts = stored.metadata()
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        if _sha256(weights) != facts["sha256"]:
            return None
        network.load_state_dict(weights, assign=True)
        accuracy, tested_on = float(facts["accuracy"]), int(facts["tested_on"])
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError):
        return None
    return FeatureExtractor(network.eval(), size, data.name, accuracy, tested_on, facts["sha256"])


def _sha256(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()

"""The judge: a small classifier of a labelled data set, whose features and answers the metrics use.

It is trained once for each data set, on the training split alone, in under two minutes on two cores, and kept in the
user's cache under the hash of the data. It shares nothing with any GAN. How well it classifies images it has not seen
is part of every protocol: a judge of 75% cannot tell a label accuracy of 90% from one of 100%.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ganzoo.core.files import lock
from ganzoo.core.spec import DataLocation
from ganzoo.data.cache import scratch
from ganzoo.data.images import ImageData, resize

RECIPE = 1
"""Part of the cache's key: to be raised when anything below changes what is learnt."""
LARGEST = 32
"""Larger images are made smaller, as Inception's are for an FID."""
FEATURES = 128
BATCH = 128
MOST_EPOCHS = 40
LEAST_STEPS = 500
"""However few images there are."""
PIXELS = 4 * 60_000 * 28 * 28
"""How many pixels are learnt from, all epochs together: this bounds the time whatever the data."""
HELD_OUT = 0.1
"""Share of the training images that the judge is tested on where there is no test split."""
SEED = 7

Progress = Callable[[str], None]


class Classifier(nn.Module):
    """Four 3x3 convolutions, two of them pooled, a hidden layer of features, logits; for images from 4 pixels up."""

    def __init__(self, channels: int, size: int, classes: int):
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, pooled in ((channels, 32, True), (32, 64, False), (64, 64, True), (64, 128, False)):
            layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
            layers += [nn.MaxPool2d(2)] if pooled else []  # first, so that the rest has a quarter to do
            layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
        flat = 128 * (size // 4) ** 2
        self.body = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(flat, FEATURES), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(FEATURES, classes))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features [N, 128] and logits [N, classes] of images in [-1, 1], [N, C, size, size]."""
        features = self.body(images)
        return features, self.head(features)


@dataclass(frozen=True, eq=False)
class Judge:
    """A trained classifier and what is known of it.

    accuracy: on `tested_on` images that it was not trained on.
    sha256: of its weights; figures are comparable only where it is the same.
    """

    network: Classifier
    size: int
    data: str
    accuracy: float
    tested_on: int
    sha256: str

    @classmethod
    def of(
        cls,
        train: ImageData,
        test: ImageData | None,
        device: torch.device | str = "cpu",
        progress: Progress | None = None,
        cache: Path | None = None,
    ) -> Judge:
        """The judge of this data, from the cache or else trained; a second process waits for the one that trains.

        `cache` is the folder of judges, by default in the user's cache. Raises DataError where it cannot be written.
        """
        home = cache or DataLocation.find().cache / "judges"
        identity = json.dumps([RECIPE, train.sha256, test.sha256 if test else None])
        file = home / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.safetensors"
        found = _read(file, train)
        if found is None:
            with scratch(home) as partial, lock(file.with_suffix(".lock")):
                found = _read(file, train)
                if found is None:
                    network, facts = fit(train, test, torch.device(device), progress or (lambda _: None))
                    save_file(network.state_dict(), partial / file.name, facts)
                    (partial / file.name).replace(file)
                    found = _read(file, train)
        assert found is not None
        found.network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return found

    @property
    def protocol(self) -> dict[str, Any]:
        """What a figure says about its extractor."""
        return {
            "extractor": f"judge of {self.data}, {FEATURES} features",
            "extractor_accuracy": self.accuracy,
            "extractor_tested_on": self.tested_on,
            "extractor_sha256": self.sha256[:16],
            "resize": f"to {self.size}, bilinear, antialiased" if self.size == LARGEST else "none",
        }

    @torch.no_grad()
    def __call__(self, images: npt.NDArray[np.uint8], chunk: int = 500) -> tuple[Tensor, Tensor]:
        """Features float32 [N, 128] and logits [N, classes] of images uint8 [N, C, S, S]."""
        device = next(self.network.parameters()).device
        parts = [self.network(_prepare(images[i : i + chunk], self.size, device)) for i in range(0, len(images), chunk)]
        features, logits = zip(*parts)
        return torch.cat(features), torch.cat(logits)


def fit(
    train: ImageData, test: ImageData | None, device: torch.device, progress: Progress
) -> tuple[Classifier, dict[str, str]]:
    """A classifier trained on `train`, on the CPU, and the facts to be stored with it."""
    assert train.labels is not None
    rng = np.random.default_rng(SEED)
    learnt = rng.permutation(len(train))
    if test is None:
        held = max(1, round(HELD_OUT * len(train)))
        held_out, learnt = np.sort(learnt[:held]), learnt[held:]
        test_images, test_labels = train.images[held_out], train.labels[held_out]
    else:
        assert test.labels is not None
        test_images, test_labels = test.images, test.labels
    size = min(train.spec.size, LARGEST)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(SEED)
        network = Classifier(train.spec.channels, size, train.spec.classes)
        network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        _learn(network, train, learnt, size, rng, progress)
    judge = Judge(network.eval(), size, train.name, 0.0, len(test_labels), "")
    answers = judge(test_images)[1].argmax(1).cpu().numpy()
    network.to("cpu", memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    facts = {
        "accuracy": str(round(float(np.mean(answers == test_labels)), 6)),
        "tested_on": str(len(test_labels)),
        "sha256": _sha256(network.state_dict()),
        "torch": torch.__version__,
    }
    return network, facts


def _learn(
    network: Classifier,
    data: ImageData,
    learnt: npt.NDArray[np.int64],
    size: int,
    rng: np.random.Generator,
    progress: Progress,
) -> None:
    assert data.labels is not None
    device = next(network.parameters()).device
    batch = min(BATCH, len(learnt))
    steps = max(1, min(max(MOST_EPOCHS * len(learnt), LEAST_STEPS * batch), PIXELS // size**2) // batch)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps + 1)
    reach = size // 14
    order: Iterator[npt.NDArray[np.int64]] = iter(())
    for step in range(steps):
        chosen = next(order, None)
        if chosen is None:
            order = iter(rng.permutation(learnt)[: len(learnt) // batch * batch].reshape(-1, batch))
            chosen = next(order)
        shift = rng.integers(-reach, reach + 1, 2).tolist()  # objects need not be centred
        images = _prepare(data.images[chosen], size, device).roll(shift, dims=(2, 3))
        loss = F.cross_entropy(network(images)[1], torch.from_numpy(data.labels[chosen]).to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 20 == 0:
            progress(f"training the judge of {data.name}, once: {step / steps:.0%}")


def _prepare(images: npt.NDArray[np.uint8], size: int, device: torch.device) -> Tensor:
    pixels = torch.from_numpy(resize(images, size) if images.shape[-1] > size else np.array(images))
    return pixels.to(device, torch.float32, memory_format=torch.channels_last).div_(127.5).sub_(1)


def _read(file: Path, data: ImageData) -> Judge | None:
    """The judge stored at `file`; None where there is none, or where it is no longer what was written."""
    size = min(data.spec.size, LARGEST)
    with torch.device("meta"):  # its weights come from the file: nothing is drawn at random
        network = Classifier(data.spec.channels, size, data.spec.classes)
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
    return Judge(network.eval(), size, data.name, accuracy, tested_on, facts["sha256"])


def _sha256(weights: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()

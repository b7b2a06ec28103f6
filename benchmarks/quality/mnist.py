"""What runs on MNIST learnt, judged by an independent classifier. Needs the data (GANZOO_DATA or the cache).

    python benchmarks/quality/mnist.py runs/cgan-mnist-001 runs/dcgan-mnist-001

The classifier (a small convolutional network, 99.6% on the test set) is trained once, on the training set, and kept in
the user's cache. For 10,000 samples of each run it prints

    label accuracy   share to which the classifier gives the label that was asked for (conditional runs)
    class entropy    of the classes found in the samples, in nats; log(10) = 2.303 is even
    distance         Frechet distance of its 128 features between samples and the 10,000 test images; not an FID, which
                     is defined on Inception features. Real training images give the floor, printed first.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ganzoo
from ganzoo import data
from ganzoo.plugin import DataLocation

SAMPLES = 10_000


class Classifier(nn.Module):
    """Two pairs of convolutions, a hidden layer of 128 features, ten logits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 49, 128), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Dropout(0.3), nn.Linear(128, 10))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return features, self.head(features)


def prepare(images: np.ndarray | Tensor) -> Tensor:
    return torch.as_tensor(np.asarray(images)).float().div(127.5).sub(1)


def train_classifier(epochs: int = 6) -> Classifier:
    torch.manual_seed(7)
    train = data.open("mnist")
    images, labels = prepare(train.images), torch.from_numpy(train.labels)
    network = Classifier().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01)
    per_epoch = len(images) // 128
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=epochs * per_epoch)
    for epoch in range(epochs):
        for batch in torch.randperm(len(images))[: per_epoch * 128].view(-1, 128):
            shift = torch.randint(-2, 3, (2,)).tolist()
            x = images[batch].roll(shift, dims=(2, 3))
            loss = F.cross_entropy(network(x)[1], labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"classifier: epoch {epoch + 1} of {epochs}, loss {loss.item():.4f}", file=sys.stderr)
    return network.eval()


def classifier() -> Classifier:
    file = DataLocation.find().cache / "quality" / "mnist-classifier.pt"
    if file.exists():
        network = Classifier()
        network.load_state_dict(torch.load(file, weights_only=True))
        return network.eval()
    network = train_classifier()
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(network.state_dict(), file)
    return network


@torch.no_grad()
def judge(network: Classifier, images: np.ndarray | Tensor) -> tuple[np.ndarray, np.ndarray]:
    parts = [network(prepare(images[i : i + 500])) for i in range(0, len(images), 500)]
    features = torch.cat([f for f, _ in parts]).double().numpy()
    return features, torch.cat([logits for _, logits in parts]).argmax(1).numpy()


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Frechet distance between Gaussians fitted to features [N, D]: Dowson and Landau 1982."""
    product = scipy.linalg.sqrtm(np.cov(a, rowvar=False) @ np.cov(b, rowvar=False))
    spread = np.trace(np.cov(a, rowvar=False) + np.cov(b, rowvar=False) - 2 * np.real(product))
    return float(np.square(a.mean(0) - b.mean(0)).sum() + spread)


def main() -> None:
    network = classifier()
    test = data.open("mnist", split="test")
    reference, found = judge(network, test.images)
    train = data.open("mnist")
    floor, _ = judge(network, train.images[:SAMPLES])
    print(
        f"classifier accuracy {np.mean(found == test.labels):.4f}, "
        f"distance of real images {frechet(floor, reference):.2f}"
    )
    for run in sys.argv[1:]:
        if run.endswith(".npz"):
            with np.load(run) as file:
                images, asked = file["images"][:SAMPLES], file.get("labels")
        else:
            gan = ganzoo.load(run)
            images = gan.sample(SAMPLES, seed=1).numpy()
            labels = gan.class_labels(SAMPLES)
            asked = None if labels is None else labels.numpy()
        features, found = judge(network, images)
        share = np.bincount(found, minlength=10) / len(found)
        result = {
            "run": Path(run).name,
            "label_accuracy": None if asked is None else round(float(np.mean(found == asked[:SAMPLES])), 4),
            "class_entropy": round(float(-sum(p * math.log(p) for p in share if p > 0)), 4),
            "distance": round(frechet(features, reference), 2),
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()

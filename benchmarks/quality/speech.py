"""Spoken digits by `wavegan-cond`: trained, then heard by an independent classifier; the figures of docs/results.md.

    GANZOO_DATA=DIR python benchmarks/quality/speech.py RUN [--steps N]

DIR has spoken-digits.zip, the Free Spoken Digit Dataset in folders `train` and `test` (the first five takes of every
speaker and digit). An interrupted run is resumed, a finished one only measured. The classifier sees spectrograms of
the training recordings, and is tested on those of the others.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
import torch.nn.functional as F
from cached_runs import trained
from torch import Tensor, nn

import ganzoo
from ganzoo import data

DATA = "audio:samples=4096,normalise=yes:"
STEPS, SAMPLES = 7000, 1000
BANDS, EPOCHS, BATCH, SHIFT = 40, 25, 64, 3


def spectrograms(clips: Tensor) -> Tensor:
    """Logarithmic levels [N, 1, BANDS, frames] of clips int16 [N, 1, samples], each with mean 0 and deviation 1.

    Bands are as wide as the ear's: equally spaced on the mel scale up to 4 kHz.
    """
    values = clips[:, 0].float()
    values = values / values.abs().amax(1, keepdim=True).clamp_min(1)
    power = torch.stft(values, 256, 128, window=torch.hann_window(256), return_complex=True).abs().square()
    top = 2595 * torch.log10(torch.tensor(1 + 4000 / 700))
    edges = 700 * (10 ** (torch.linspace(0, 1, BANDS + 2) * top / 2595) - 1) / 4000 * 128
    bins = torch.arange(129.0)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2]).clamp_min(1)[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1]).clamp_min(1)[:, None]
    levels = torch.log(torch.minimum(rising, falling).clamp_min(0) @ power + 1e-3)
    return F.layer_norm(levels, levels.shape[1:])[:, None]


class Listener(nn.Sequential):
    """Three convolutions with pooling, the mean over time, logits of ten digits."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]
        super().__init__(*layers, nn.Flatten(1, 2), nn.AdaptiveAvgPool1d(4), nn.Flatten(), nn.Dropout(0.5))
        self.append(nn.Linear(64 * (BANDS // 8) * 4, 10))


def listener(clips: Tensor, labels: Tensor) -> Listener:
    """A classifier of `clips`, trained on shifted spectrograms with noise, so that it hears what is imperfect, too."""
    torch.manual_seed(0)
    network, levels = Listener(), spectrograms(clips)
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.01)
    steps = EPOCHS * (len(levels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(levels))[: len(levels) // BATCH * BATCH].view(-1, BATCH):
            shift = int(torch.randint(-SHIFT, SHIFT + 1, ()))
            heard = levels[chosen].roll(shift, dims=3)
            loss = F.cross_entropy(network(heard + 0.2 * torch.randn_like(heard)), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return network.eval()


@torch.no_grad()
def heard(network: Listener, clips: Tensor) -> Tensor:
    """The digit that the classifier hears in each clip."""
    return torch.cat([network(spectrograms(part)).argmax(1) for part in clips.split(250)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dataset = f"{DATA}{Path(os.environ['GANZOO_DATA'], 'spoken-digits.zip').resolve()}"
    train, test = (data.open(dataset, split=split) for split in ("train", "test"))
    run = trained(options.run, "wavegan-cond", dataset=dataset, steps=options.steps, seed=options.seed)
    clips, labels, others, truth = (
        torch.tensor(array) for array in (train.values, train.labels, test.values, test.labels)
    )
    network = listener(clips, labels)
    asked = torch.arange(SAMPLES) % 10
    found = heard(network, ganzoo.load(run).sample(SAMPLES, labels=asked, seed=0))
    shares = torch.bincount(found, minlength=10) / SAMPLES
    print(f"real recordings: {(heard(network, others) == truth).float().mean():.3f} of {len(truth)} recognised")
    print(f"generated: {(found == asked).float().mean():.3f} of {SAMPLES} recognised as the digit asked for")
    for digit in range(10):
        print(f"  {digit}: {(found[asked == digit] == digit).float().mean():.2f}")
    print(f"entropy of the digits heard: {-(shares * shares.clamp_min(1e-9).log()).sum():.2f} of 2.30")


if __name__ == "__main__":
    main()

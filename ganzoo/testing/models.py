"""Checks of a model: trained weights in a package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ganzoo.core.errors import GanzooError
from ganzoo.evaluation import results
from ganzoo.gan import GAN
from ganzoo.testing.kit import CheckError, rule
from ganzoo.training.loading import load_checkpoint, newest_checkpoint
from ganzoo.training.run import Run

AGAIN = "pack the run again: ganzoo pack RUN --name NAME."
MACHINE = ("/home/", "/root/", "/Users/", "/tmp/", ":\\")
"""What paths of one machine contain."""


@dataclass(frozen=True)
class ModelFixture:
    """The model called `name`, whose files are in `folder`."""

    name: str
    folder: Path

    def load(self) -> GAN:
        """The GAN of the model, on the CPU."""
        try:
            run = Run.open(self.folder)
            return load_checkpoint(run, newest_checkpoint(run), "cpu")
        except GanzooError as failure:
            raise CheckError(f"it cannot be loaded: {failure}") from failure


@rule(AGAIN)
def weights(fixture: ModelFixture) -> None:
    """The files are intact, the architecture is installed, and all weights are finite."""
    for name, value in fixture.load().state_dict().items():
        if not value.isfinite().all():
            raise CheckError(f"{name} is not finite")


@rule("train it for longer, or pack another checkpoint.")
def samples(fixture: ModelFixture) -> None:
    """Samples follow from their seed and differ from each other."""
    gan = fixture.load()
    if any(name != "label" for name in gan.spec.given):
        return  # it starts from inputs, which are not in the package
    first, again = (gan.sample(4, seed=0) for _ in range(2))
    if not torch.equal(first, again):
        raise CheckError("the same seed gives different samples")
    if all(torch.equal(first[0], other) for other in first[1:]):
        raise CheckError("all samples are the same")


@rule(AGAIN)
def card(fixture: ModelFixture) -> None:
    """The card names data, command and figures, and no folder of the machine that trained it."""
    file = fixture.folder / "CARD.md"
    if not file.is_file():
        raise CheckError("CARD.md is missing")
    text = file.read_text(encoding="utf-8")
    missing = [part for part in ("ganzoo train", "## How good it is") if part not in text]
    if missing:
        raise CheckError(f"CARD.md lacks {missing[0]!r}")
    try:
        evaluation = results.read(Run.open(fixture.folder))
    except GanzooError as failure:
        raise CheckError(f"its figures cannot be read: {failure}") from failure
    if evaluation is None or not evaluation.figures:
        raise CheckError("evaluation.json has no figures", "pack it with --metrics.")
    for name in ("CARD.md", "config.json"):
        content = (fixture.folder / name).read_text(encoding="utf-8")
        found = next((part for part in MACHINE if part in content), None)
        if found is not None:
            raise CheckError(f"{name} has a path of the machine that trained it ({found!r})")

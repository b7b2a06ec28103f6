"""Checks of a penalty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ganzoo.core.errors import UsageError
from ganzoo.penalties import Penalty
from ganzoo.testing.kit import CheckError, rule

SHAPES = ((8, 1, 8, 8), (8, 3, 16, 16), (8, 2))


@dataclass(frozen=True)
class PenaltyFixture:
    """The penalty `penalty`."""

    penalty: Penalty

    def values(self, other_global_state: bool = False) -> Iterator[tuple[nn.Module, Tensor]]:
        """A discriminator and its penalty, for images of two shapes and for points; shapes may be refused."""
        for shape in SHAPES:
            torch.manual_seed(1)
            pixels = torch.Size(shape[1:]).numel()
            discriminator = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 8), nn.Tanh(), nn.Linear(8, 1), nn.Flatten(0))
            real, fake = torch.rand(shape) * 2 - 1, torch.rand(shape) * 2 - 1
            torch.manual_seed(2 + other_global_state)
            try:
                value = self.penalty(discriminator, real, fake, torch.Generator().manual_seed(0))
            except UsageError:
                continue
            yield discriminator, value


@rule("return the mean over the batch, a scalar tensor.")
def scalar(fixture: PenaltyFixture) -> None:
    """The penalty is a finite scalar for images and points, unless it refuses them."""
    values = [value for _, value in fixture.values()]
    if not values:
        raise CheckError("it refuses images and points")
    for value in values:
        if not isinstance(value, Tensor) or value.dim():
            actual = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise CheckError(f"it returns {actual}, expected a scalar")
        if not value.isfinite():
            raise CheckError(f"it returns {value.item()}")


@rule("compute the penalty from the discriminator's output, with create_graph=True where you call autograd.grad.")
def gradients(fixture: PenaltyFixture) -> None:
    """The discriminator can learn from it: its gradient reaches the parameters and is finite."""
    for discriminator, value in fixture.values():
        found = torch.autograd.grad(value, list(discriminator.parameters()), allow_unused=True)
        present = [gradient for gradient in found if gradient is not None]
        if not present or not any(gradient.any() for gradient in present):
            raise CheckError("no gradient reaches the discriminator")
        if not all(gradient.isfinite().all() for gradient in present):
            raise CheckError("its gradient is not finite")


@rule("draw random numbers from the generator that is passed in.")
def seed(fixture: PenaltyFixture) -> None:
    """The random generator determines the penalty; the global random state is not used."""
    for (_, value), (_, again) in zip(fixture.values(), fixture.values(other_global_state=True)):
        if not torch.equal(value, again):
            raise CheckError("it differs when it is computed twice from the same generator")

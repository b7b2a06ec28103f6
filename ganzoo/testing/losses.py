"""Checks of a loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ganzoo.losses import Loss
from ganzoo.testing.kit import CheckError, rule

SHAPES = ((8,), (8, 1), (8, 1, 4, 4))
EXTREME = 1e4
"""The largest absolute value of the logits that a loss must stay finite for."""


@dataclass(frozen=True)
class LossFixture:
    """The loss `loss`."""

    loss: Loss

    def sides(self, real: Tensor, fake: Tensor) -> Iterator[tuple[str, Tensor]]:
        """The name and the value of each side of the loss."""
        yield "discriminator", self.loss.discriminator(real, fake, 1.0)
        yield "generator", self.loss.generator(real, fake) if self.loss.relativistic else self.loss.generator(fake)


@rule("average over all logits, .mean().")
def scalar(fixture: LossFixture) -> None:
    """Both sides are scalars for logits [N] and for those of patches."""
    for shape in SHAPES:
        for side, value in fixture.sides(torch.randn(shape), torch.randn(shape)):
            if not isinstance(value, Tensor) or value.dim():
                actual = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
                raise CheckError(f"for logits {list(shape)} the {side}'s loss is {actual}, expected a scalar")


@rule("use functions that cannot overflow, such as softplus in place of log and exp.")
def finite(fixture: LossFixture) -> None:
    """Values and gradients are finite for any logits."""
    values = torch.tensor([-EXTREME, -100, -1, 0, 1, 100, EXTREME])
    real, fake = (grid.flatten().requires_grad_() for grid in torch.meshgrid(values, values, indexing="ij"))
    for side, value in fixture.sides(real, fake):
        gradients = torch.autograd.grad(value, (real, fake), allow_unused=True)
        for what, tensor in (("value", value), *(("gradient", gradient) for gradient in gradients)):
            if tensor is not None and not tensor.isfinite().all():
                raise CheckError(f"the {side}'s {what} is not finite for logits from -{EXTREME:g} to {EXTREME:g}")


@rule("raise the logits of real images and lower those of generated ones; the generator does the opposite.")
def directions(fixture: LossFixture) -> None:
    """The discriminator tells real from generated images, and the generator works against it."""
    real, fake = (torch.full((8,), 0.5, requires_grad=True) for _ in range(2))
    (_, discriminator), (_, generator) = fixture.sides(real, fake)
    on_real, on_fake = torch.autograd.grad(discriminator, (real, fake))
    (of_generator,) = torch.autograd.grad(generator, (fake,))
    wrong = {
        "the discriminator's loss does not fall as logits of real images rise": (on_real < 0).all(),
        "the discriminator's loss does not rise with the logits of generated images": (on_fake > 0).all(),
        "the generator's loss does not fall as logits of generated images rise": (of_generator < 0).all(),
    }
    for problem, right in wrong.items():
        if not right:
            raise CheckError(problem)

"""Checks of an augmentation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ganzoo.augmentations import Augmentation, get_augmentation
from ganzoo.testing.kit import CheckError, rule
from ganzoo.testing.training import ReadingMethods, ReadingOperations

SHAPES = ((16, 1, 8, 8), (16, 3, 32, 32))


@dataclass(frozen=True)
class AugmentationFixture:
    """The augmentation called `name`."""

    name: str

    def apply(self, images: Tensor, seed: int = 0, adapted: int = 20) -> Tensor:
        """The images as augmented by a new instance, which has seen this number of batches."""
        augment = get_augmentation(self.name)
        assert augment is not None
        if isinstance(augment, Augmentation):
            for _ in range(adapted):
                augment.adapt(torch.ones(()), 10_000)
        return augment(images, torch.Generator().manual_seed(seed))


def _images(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1


@rule("return images of the shape and type of those that are passed in.")
def shapes(fixture: AugmentationFixture) -> None:
    """Images keep their shape and type, and stay finite."""
    for shape in SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            result = fixture.apply(_images(shape).to(dtype))
            if result.shape != shape or result.dtype != dtype:
                raise CheckError(f"of images {list(shape)}, {dtype}, it makes {list(result.shape)}, {result.dtype}")
            if not result.isfinite().all():
                raise CheckError("some augmented values are not finite")


@rule("compute with differentiable operations: no detach(), no rounding, no in-place changes of the images.")
def differentiable(fixture: AugmentationFixture) -> None:
    """The generator can learn through it: gradients reach the images."""
    for shape in SHAPES:
        images = _images(shape).requires_grad_()
        result = fixture.apply(images)
        gradient = torch.autograd.grad(result.sum(), images)[0] if result.requires_grad else torch.zeros(())
        if not gradient.any():
            raise CheckError("no gradient reaches the images")
        if not gradient.isfinite().all():
            raise CheckError("its gradient is not finite")


@rule("draw random numbers with uniform or normal from ganzoo.augmentations, from the rng that is passed in.")
def seed(fixture: AugmentationFixture) -> None:
    """The random generator determines the result; the global random state is not used."""
    images = _images(SHAPES[0])
    before = torch.get_rng_state()
    first = fixture.apply(images)
    if not torch.equal(before, torch.get_rng_state()):
        raise CheckError("it draws from the global random state")
    if not torch.equal(first, fixture.apply(images)):
        raise CheckError("the same rng gives different images")


@rule("use torch.where instead of `if`, and tensors instead of .item().")
def no_sync(fixture: AugmentationFixture) -> None:
    """It reads no values back from the device, which would stall a GPU."""
    reads: list[str] = []
    images = _images(SHAPES[0])
    with ReadingOperations(reads), ReadingMethods(reads):
        fixture.apply(images)
    if reads:
        raise CheckError(f"it reads values back: {reads[0]}")


@rule("keep what `adapt` changes in buffers, and change them in place.")
def state(fixture: AugmentationFixture) -> None:
    """What it has learnt is in its buffers."""
    old, new = get_augmentation(fixture.name), get_augmentation(fixture.name)
    if not isinstance(old, Augmentation) or not isinstance(new, Augmentation):
        return
    for _ in range(20):
        old.adapt(torch.ones(()), 10_000)
    new.load_state_dict(old.state_dict())
    images = _images(SHAPES[0])
    one, other = (each(images, torch.Generator().manual_seed(0)) for each in (old, new))
    if not torch.equal(one, other):
        raise CheckError("one whose state was saved and loaded gives other images")

"""Augmentations: what happens to all images that the discriminator sees in training, real and generated alike.

An augmentation is a function of images and a random generator that returns images of the same shape; it must be
differentiable with respect to the images, because the generator learns through it. One that keeps state, such as a
probability that adapts, is a subclass of `Augmentation`. Any package can add one with an entry point in the group
`ganzoo.augmentations`; it is used with the setting `augmentation`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ganzoo.core import distributed, registry
from ganzoo.core.entry_points import AUGMENTATIONS as GROUP
from ganzoo.core.errors import PluginError

Augment = Callable[[Tensor, torch.Generator], Tensor]
"""Called as `augment(images, rng)` with images [N, C, H, W] in [-1, 1]."""


class Augmentation(nn.Module):
    """An augmentation with state: what changes in training belongs in its buffers, which are saved with the weights."""

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """The augmented images. Draw random numbers with `uniform` or `normal`."""
        raise NotImplementedError

    def adapt(self, overfitting: Tensor, images: int) -> None:
        """Called after every update of the discriminator, which saw this number of real `images`, on every rank alike.

        `overfitting` is the mean sign of its logits of real images, -1 to 1, on the device: r_t in Karras et al. 2020,
        arXiv:2006.06676, eq. 1. Change buffers in place.
        """


def get_augmentation(name: str) -> Augment | None:
    """The augmentation called `name`, in its initial state; None for "none".

    Raises UsageError for an unknown name, and PluginError for one that cannot be used.
    """
    if name == "none":
        return None
    found = registry.get(GROUP, name, _as_augmentation).card
    augment: Augment = found() if isinstance(found, type) else found
    return augment


def uniform(images: Tensor, *shape: int, rng: torch.Generator) -> Tensor:
    """Random numbers in [0, 1), [N, *shape], for `images` [N, ...]: on any number of ranks those of one process."""
    return distributed.shard(torch.rand(len(images) * distributed.size(), *shape, device=images.device, generator=rng))


def normal(images: Tensor, *shape: int, rng: torch.Generator) -> Tensor:
    """Random numbers ~ N(0, 1), [N, *shape], as `uniform`."""
    return distributed.shard(torch.randn(len(images) * distributed.size(), *shape, device=images.device, generator=rng))


def _as_augmentation(target: Any) -> Any:
    if isinstance(target, type) and issubclass(target, Augmentation):
        if target.forward is Augmentation.forward:
            raise PluginError("it does not implement forward")
    elif isinstance(target, type) or not callable(target):
        actual = f"the class {target.__name__}" if isinstance(target, type) else f"a {type(target).__name__}"
        raise PluginError(
            "it must be a function augment(images, rng) or a subclass of ganzoo.augmentations.Augmentation, "
            f"but is {actual}"
        )
    return target

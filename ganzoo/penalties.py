"""Regularisation of the discriminator: gradient penalties and weight clipping.

A penalty takes the discriminator as a function of images, real images and generated ones, both [N, ...], and returns a
scalar to be added to the discriminator's loss, in float32 or wider. Any package can add one with an entry point in the
group `ganzoo.penalties`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from ganzoo.core import distributed, registry
from ganzoo.core.entry_points import PENALTIES as GROUP
from ganzoo.core.errors import PluginError, UsageError

Score = Callable[[Tensor], Tensor]
"""A discriminator with its conditions fixed: images [N, ...] -> logits."""
Penalty = Callable[..., Tensor]
"""Called as `penalty(discriminator, real, fake, generator)`."""


def get_penalty(name: str) -> Penalty | None:
    """The penalty called `name`; None for "none" and "clip", which add nothing to the loss.

    Raises UsageError for an unknown name, and PluginError for one that cannot be used.
    """
    if name in ("none", "clip"):
        return None
    penalty: Penalty = registry.get(GROUP, name, _as_penalty).card
    return penalty


def _as_penalty(target: Any) -> Penalty:
    if not callable(target) or isinstance(target, type):
        raise PluginError(
            f"it must be a function penalty(discriminator, real, fake, generator), but is a {type(target).__name__}"
        )
    penalty: Penalty = target
    return penalty


def gradient_penalty(
    discriminator: Score, real: Tensor, fake: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """E (|grad f(x^)| - 1)^2 at random points between real and fake: Gulrajani et al. 2017, arXiv:1704.00028, eq. 3.

    `real` and `fake` [N, ...] have the same shape; `generator` draws the N mixing weights. Twice differentiable.
    """
    shape = (distributed.size() * real.shape[0],) + (1,) * (real.dim() - 1)
    mix = distributed.shard(torch.rand(shape, device=real.device, dtype=real.dtype, generator=generator))
    between = torch.lerp(real, fake.to(real.dtype), mix).requires_grad_()
    norms: Tensor = _input_gradient(discriminator, between).norm(dim=1)
    return (norms - 1).square().mean()


def dragan_penalty(
    discriminator: Score, real: Tensor, fake: Tensor | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """E (|grad f(x^)| - 1)^2 at random points near real images: Kodali et al. 2017, arXiv:1705.07215, eq. 5.

    x^ = x + a (s/2) u, as in the authors' code: u is uniform in [0, 1) for each value of `real` [N, ...], a for each
    image, and s is the standard deviation of all values of the batch, on all ranks.
    """
    random = torch.rand(
        (distributed.size() * real.shape[0], 1 + real[0].numel()),
        device=real.device,
        dtype=real.dtype,
        generator=generator,
    )  # one draw, so that a batch in parts gets the same numbers
    random = distributed.shard(random)
    mix, noise = random[:, :1], random[:, 1:]
    ranks = distributed.size()
    mean, square = (
        distributed.all_reduce_sum(x.mean()) / ranks if ranks > 1 else x.mean() for x in (real, real.square())
    )
    deviation = (square - mean.square()).clamp_min(0).sqrt()
    near = (real + (0.5 * deviation * mix * noise).view_as(real)).detach().requires_grad_()
    norms: Tensor = _input_gradient(discriminator, near).norm(dim=1)
    return (norms - 1).square().mean()


def r1_penalty(
    discriminator: Score, real: Tensor, fake: Tensor | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """E |grad D(x)|^2 / 2 at real images [N, ...]: Mescheder et al. 2018, arXiv:1801.04406, eq. 9, without gamma."""
    return _half_squared_gradient_norm(discriminator, real)


def r2_penalty(discriminator: Score, real: Tensor, fake: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """E |grad D(G(z))|^2 / 2 at fake images [N, ...]: Mescheder et al. 2018, arXiv:1801.04406, eq. 10."""
    return _half_squared_gradient_norm(discriminator, fake)


def r1r2_penalty(discriminator: Score, real: Tensor, fake: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """R1 + R2, which make the relativistic pairing loss converge: Huang et al. 2024, arXiv:2501.05441, section 2.2."""
    return r1_penalty(discriminator, real) + r2_penalty(discriminator, real, fake)


def consistency_penalty(
    discriminator: Score, real: Tensor, fake: Tensor | None = None, generator: torch.Generator | None = None
) -> Tensor:
    """CR, E (D(x) - D(T(x)))^2 at real images: Zhang et al. 2020, arXiv:1910.12027, eq. 3; usual weight 10.

    T mirrors half of the images [N, C, H, W] and moves each by up to an eighth of its sides.
    """
    return (discriminator(real) - discriminator(flipped_and_moved(real, generator))).float().square().mean()


def balanced_consistency_penalty(
    discriminator: Score, real: Tensor, fake: Tensor, generator: torch.Generator | None = None
) -> Tensor:
    """bCR, CR of real plus CR of generated images: Zhao et al. 2021, arXiv:2002.04724, section 3.1; usual weight 10."""
    on_real = consistency_penalty(discriminator, real, None, generator)
    return on_real + consistency_penalty(discriminator, fake.detach(), None, generator)


def flipped_and_moved(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Images [N, C, H, W], half of them mirrored, moved by whole pixels, up to an eighth; the edge is reflected."""
    if images.dim() != 4:
        raise UsageError("penalty=cr and bcr mirror and move images, and these data are none. Choose penalty=none.")
    height, width = images.shape[2:]
    count = distributed.size() * len(images)
    flip, rows, columns = distributed.shard(torch.rand(count, 3, device=images.device, generator=generator)).unbind(1)
    images = torch.where((flip < 0.5)[:, None, None, None], images.flip(3), images)
    index = [
        _reflect(torch.arange(side, device=images.device) + (move * (2 * reach + 1)).long()[:, None] - reach, side)
        for side, reach, move in ((height, height // 8, rows), (width, width // 8, columns))
    ]
    images = images.gather(2, index[0][:, None, :, None].expand_as(images))
    return images.gather(3, index[1][:, None, None, :].expand_as(images))


def _reflect(index: Tensor, side: int) -> Tensor:
    """Positions beyond 0..side - 1 mirrored at the edge pixels."""
    return side - 1 - (side - 1 - index.abs()).abs()


PENALTIES: dict[str, Penalty] = {
    "gradient": gradient_penalty,
    "dragan": dragan_penalty,
    "r1": r1_penalty,
    "r1r2": r1r2_penalty,
    "cr": consistency_penalty,
    "bcr": balanced_consistency_penalty,
}
"""The built-in penalties by name; `get_penalty` finds those of other packages as well."""
OF_IMAGES: tuple[Penalty, ...] = (consistency_penalty, balanced_consistency_penalty)
"""The penalties that are defined for images only."""


def _half_squared_gradient_norm(discriminator: Score, images: Tensor) -> Tensor:
    return 0.5 * _input_gradient(discriminator, images.detach().requires_grad_()).square().sum(dim=1).mean()


def _input_gradient(discriminator: Score, x: Tensor) -> Tensor:
    """The gradient of each image's logits with respect to it, [N, values], in float32 or wider."""
    gradient: Tensor = torch.autograd.grad(discriminator(x).sum(), x, create_graph=True)[0]
    dtype: torch.dtype = torch.promote_types(gradient.dtype, torch.float32)
    return gradient.flatten(1).to(dtype)


@torch.no_grad()
def clip_weights(parameters: Iterable[Tensor], bound: float) -> None:
    """Clamp every weight to [-bound, bound], in place: Arjovsky et al. 2017, algorithm 1."""
    weights = list(parameters)
    torch._foreach_clamp_max_(weights, bound)
    torch._foreach_clamp_min_(weights, -bound)

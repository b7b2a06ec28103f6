"""Adaptive discriminator augmentation: Karras et al. 2020, arXiv:2006.06676."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.augmentations import Augmentation, normal, uniform


class ADA(Augmentation):
    """Flips, rotations, shifts, scales and colours (the pipe "bgc"), each with a probability p that adapts.

    p rises while the discriminator is sure of real images and falls otherwise, so that the mean sign of its logits
    stays near 0.6. Unlike in the authors' code, images are sampled bilinearly without a low-pass filter, and p stays
    below 1. Colours change in images of 1 or 3 channels.
    """

    TARGET = 0.6
    """The mean sign of the logits of real images that p aims at."""
    EVERY = 4
    """Batches between changes of p."""
    IMAGES = 500_000
    """The number of images in which p can rise from 0 to 1."""

    p: Tensor
    signs: Tensor
    batches: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("p", "signs", "batches"):
            self.register_buffer(name, torch.zeros(()))

    def adapt(self, overfitting: Tensor, images: int) -> None:
        self.signs.add_(overfitting)
        self.batches.add_(1)
        due = (self.batches == self.EVERY).float()
        step = (self.signs / self.EVERY - self.TARGET).sign() * (images * self.EVERY / self.IMAGES)
        self.p.add_(due * step).clamp_(0, 1)
        self.signs.mul_(1 - due)
        self.batches.mul_(1 - due)

    def forward(self, images: Tensor, rng: torch.Generator) -> Tensor:
        places = geometry(uniform(images, 12, rng=rng), normal(images, 4, rng=rng), self.p, images.shape[2:])
        images = resample(images, F.affine_grid(places[:, :2], list(images.shape), align_corners=False))
        if images.shape[1] not in (1, 3):
            return images
        mix = colours(uniform(images, 7, rng=rng), normal(images, 3, rng=rng), self.p, images.shape[1]).to(images.dtype)
        flat = torch.baddbmm(mix[:, :, -1:], mix[:, :, :-1], images.flatten(2))
        return flat.view_as(images)


def resample(images: Tensor, places: Tensor) -> Tensor:
    """Images [N, C, H, W] at `places` [N, H', W', 2], bilinearly, reflected at the edges.

    `F.grid_sample` does the same but cannot be differentiated twice, as gradient penalties need.
    """
    result: Tensor | None = None
    neighbours = []
    for axis, side in ((1, images.shape[2]), (0, images.shape[3])):
        at = ((places[..., axis] + 1) * side - 1) / 2
        at = (at + 0.5).remainder(2 * side)  # a reflected image has twice the period
        at = (torch.where(at > side, 2 * side - at, at) - 0.5).clamp(0, side - 1)
        low = at.floor().clamp_max(max(side - 2, 0))
        neighbours.append(((low.long(), 1 - (at - low)), ((low.long() + 1).clamp_max(side - 1), at - low)))
    for row, row_weight in neighbours[0]:
        for column, column_weight in neighbours[1]:
            index = (row * images.shape[3] + column).flatten(1)[:, None].expand(-1, images.shape[1], -1)
            values = images.flatten(2).gather(2, index) * (row_weight * column_weight).flatten(1)[:, None]
            result = values if result is None else result + values
    assert result is not None
    return result.view(*images.shape[:2], *places.shape[1:3]).to(images.dtype)


def geometry(u: Tensor, n: Tensor, p: Tensor, shape: torch.Size) -> Tensor:
    """Maps [N, 3, 3] from places in the augmented image to places in the original, both in [-1, 1].

    `u` [N, 12] are uniform draws, `n` [N, 4] normal ones. Each step acts with probability `p`: flip, rotation by
    quarters, shift by whole pixels up to an eighth, scale, rotation, stretch, rotation, shift. The two rotations share
    their probability. `shape` is the height and the width in pixels.
    """
    one, zero = torch.ones_like(u[:, 0]), torch.zeros_like(u[:, 0])
    rotation_p = 1 - (1 - p).clamp(0, 1).sqrt()
    height, width = shape

    def choose(draw: Tensor, value: Tensor, neutral: Tensor, probability: Tensor = p) -> Tensor:
        return torch.where(draw < probability, value, neutral)

    def scale(x: Tensor, y: Tensor) -> Tensor:
        return _matrix([[1 / x, zero, zero], [zero, 1 / y, zero], [zero, zero, one]])

    def shift(x: Tensor, y: Tensor) -> Tensor:
        return _matrix([[one, zero, -2 * x], [zero, one, -2 * y], [zero, zero, one]])

    def rotate(angle: Tensor) -> Tensor:
        sin, cos = angle.sin(), angle.cos()  # of pixels, which are not square in [-1, 1] unless the image is
        return _matrix([[cos, sin * (height / width), zero], [-sin * (width / height), cos, zero], [zero, zero, one]])

    flipped = choose(u[:, 0], torch.where(u[:, 1] < 0.5, -one, one), one)
    quarters = choose(u[:, 2], (u[:, 3] * 4).floor(), zero)
    whole = [
        choose(u[:, 4], ((2 * u[:, i] - 1) / 8 * side).round() / side, zero) for i, side in ((5, width), (6, height))
    ]
    scaled, stretched = (choose(u[:, i], 2 ** (0.2 * n[:, j]), one) for i, j in ((7, 0), (8, 1)))
    angles = u[:, 9], u[:, 10]  # the place in [0, rotation_p) gives the angle as well
    turns = [choose(a, math.pi * (2 * a / rotation_p.clamp_min(1e-8) - 1), zero, rotation_p) for a in angles]
    fractional = [choose(u[:, 11], n[:, i] / 8, zero) for i in (2, 3)]
    result = scale(flipped, one) @ rotate(quarters * (math.pi / 2)) @ shift(*whole) @ scale(scaled, scaled)
    return result @ rotate(turns[0]) @ scale(stretched, 1 / stretched) @ rotate(turns[1]) @ shift(*fractional)


def colours(u: Tensor, n: Tensor, p: Tensor, channels: int) -> Tensor:
    """Maps [N, channels, channels + 1] of colours: a matrix and an offset.

    `u` [N, 7] are uniform draws, `n` [N, 3] normal ones. Each step acts with probability `p`: brightness, contrast,
    luma flip and, on three channels, hue and saturation. One channel gets the mean of three.
    """
    brightness = torch.where(u[:, 0] < p, 0.2 * n[:, 0], 0.0)[:, None, None]
    contrast = torch.where(u[:, 1] < p, 2 ** (0.5 * n[:, 1]), 1.0)[:, None, None]
    eye = torch.eye(3, device=u.device)
    luma = torch.full((3, 3), 1 / 3, device=u.device)  # the projection on the axis (1, 1, 1)
    mix = contrast * eye
    offset = contrast * brightness.expand(-1, 3, 1)
    flip = ((u[:, 2] < p) & (u[:, 3] < 0.5))[:, None, None]
    steps = [torch.where(flip, eye - 2 * luma, eye)]
    if channels == 3:
        angle = torch.where(u[:, 4] < p, math.pi * (2 * u[:, 5] - 1), 0.0)[:, None, None]
        cross = (eye.roll(1, 0) - eye.roll(1, 1)) / math.sqrt(3)  # of the axis with a vector
        steps.append(luma + angle.cos() * (eye - luma) + angle.sin() * cross)  # Rodrigues
        saturation = torch.where(u[:, 6] < p, 2 ** n[:, 2], 1.0)[:, None, None]
        steps.append(luma + saturation * (eye - luma))
    for step in steps:
        mix, offset = step @ mix, step @ offset
    if channels == 1:
        mix, offset = mix.mean(1, keepdim=True).sum(2, keepdim=True), offset.mean(1, keepdim=True)
    return torch.cat([mix, offset], dim=2)


def _matrix(rows: list[list[Tensor]]) -> Tensor:
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)

"""Flips and DiffAugment: Zhao et al. 2020, arXiv:2006.10738. Images are [N, C, H, W] in [-1, 1] and are not clamped."""

from __future__ import annotations

import torch
from torch import Tensor

from ganzoo.augmentations import uniform


def flip(images: Tensor, rng: torch.Generator) -> Tensor:
    """Mirrors every image left to right with probability 1/2."""
    return torch.where(uniform(images, 1, 1, 1, rng=rng) < 0.5, images.flip(3), images)


def color(images: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness + U(-1/2, 1/2), then saturation * U(0, 2), then contrast * U(1/2, 3/2)."""
    brightness, saturation, contrast = uniform(images, 3, 1, 1, 1, rng=rng).to(images.dtype).unbind(1)
    images = images + (brightness - 0.5)
    images = torch.lerp(images.mean(1, keepdim=True), images, 2 * saturation)
    return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, contrast + 0.5)


def translation(images: Tensor, rng: torch.Generator) -> Tensor:
    """Moves every image by up to an eighth of each side; zeros come in."""
    height, width = images.shape[2:]
    steps = uniform(images, 2, rng=rng)
    rows = torch.arange(height, device=images.device) - _integers(steps[:, :1], -_part(height, 8), _part(height, 8))
    columns = torch.arange(width, device=images.device) - _integers(steps[:, 1:], -_part(width, 8), _part(width, 8))
    inside = _within(rows, height)[:, None, :, None] & _within(columns, width)[:, None, None, :]
    index = (rows.clamp(0, height - 1)[:, :, None] * width + columns.clamp(0, width - 1)[:, None]).flatten(1)
    moved = images.flatten(2).gather(2, index[:, None].expand(-1, images.shape[1], -1)).view_as(images)
    return moved * inside


def cutout(images: Tensor, rng: torch.Generator) -> Tensor:
    """Sets a square of half the side to zero; its centre is anywhere, so that it is cut off at the edges."""
    height, width = images.shape[2:]
    centres = uniform(images, 2, rng=rng)
    holes = []
    for side, centre in ((height, centres[:, :1]), (width, centres[:, 1:])):
        length = _part(side, 2)
        first = _integers(centre, 0, side - length % 2) - length // 2
        place = torch.arange(side, device=images.device)
        holes.append((place >= first) & (place < first + length))
    hole = holes[0][:, None, :, None] & holes[1][:, None, None, :]
    return images * ~hole


def diffaugment(images: Tensor, rng: torch.Generator) -> Tensor:
    """Color, translation and cutout, the policy for few images."""
    return cutout(translation(color(images, rng), rng), rng)


def translation_cutout(images: Tensor, rng: torch.Generator) -> Tensor:
    """Translation and cutout, the authors' policy for BigGAN on CIFAR-10."""
    return cutout(translation(images, rng), rng)


def color_translation(images: Tensor, rng: torch.Generator) -> Tensor:
    """Color and translation, the policy of FastGAN."""
    return translation(color(images, rng), rng)


def color_cutout(images: Tensor, rng: torch.Generator) -> Tensor:
    """Color and cutout, the authors' policy for StyleGAN2 on all of CIFAR-10."""
    return cutout(color(images, rng), rng)


def _part(side: int, parts: int) -> int:
    """`side / parts`, rounded half up."""
    return int(side / parts + 0.5)


def _integers(draws: Tensor, first: int, last: int) -> Tensor:
    """Uniform integers in first..last from draws in [0, 1)."""
    return first + (draws * (last - first + 1)).long()


def _within(index: Tensor, side: int) -> Tensor:
    return (index >= 0) & (index < side)

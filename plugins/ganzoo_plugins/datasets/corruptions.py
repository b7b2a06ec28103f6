"""Image restoration pairs from any image data set, computed on the fly: `mosaic:mnist`, `blur:3:folder:PATH`."""

from __future__ import annotations

import dataclasses
import math
import re
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from ganzoo.errors import UsageError
from ganzoo.plugin import DataLocation, Dataset, Split

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ganzoo.data.images import ImageData


class _Corrupted(Dataset):
    """Base class: the images of another data set, each with the result of `corrupt` as its input image.

    The argument is the data set's name, optionally preceded by a number of pixels that sets how much is lost.
    """

    api_version = 2
    source = "as of DATASET"
    argument = "[PIXELS:]DATASET"
    paired = True
    prefix: ClassVar[str]
    """The name that users type before the colon."""

    def pixels(self, size: int) -> int:
        """Default number of pixels for images whose shorter side has `size`."""
        raise NotImplementedError

    def corrupt(self, images: Tensor, rng: torch.Generator, pixels: int) -> Tensor:
        """Corrupt images uint8 or uint16 [N, C, H, W]; same shape and type."""
        raise NotImplementedError

    def absolute(self, argument: str) -> str:
        from ganzoo.data import absolute_name

        pixels, name = split_argument(argument)
        return absolute_name(name) if pixels is None else f"{pixels}:{absolute_name(name)}"

    def load(self, where: DataLocation, split: Split, image_size: int | None, argument: str | None) -> ImageData:
        from ganzoo.data import ImageData, load

        pixels, name = split_argument(argument or "")
        data = load(name, where, split, image_size)
        if not isinstance(data, ImageData):
            raise UsageError(f"{self.prefix}:{argument}: {data.name} has {data.spec.kind}, not images.")
        if data.paired:
            raise UsageError(f"{self.prefix}:{argument}: {data.name} is already a data set of pairs.")
        height, width = data.spec.shape[1:]
        size = min(height, width)
        pixels = self.pixels(size) if pixels is None else pixels
        if not 1 <= pixels <= size:
            raise UsageError(f"{self.prefix}:{argument}: expected 1 to {size} pixels for images of {height}x{width}.")
        corrupt = partial(self.corrupt, pixels=pixels)
        return dataclasses.replace(data, name=f"{self.prefix}:{pixels}:{data.name}", corrupt=corrupt)


def split_argument(argument: str) -> tuple[int | None, str]:
    """Split off the number of pixels: `4:mnist` -> (4, "mnist"), `mnist` -> (None, "mnist")."""
    match = re.fullmatch(r"(?:(\d{1,9}):)?(.+)", argument, re.DOTALL)
    pixels, name = match.groups() if match else (None, argument)
    return (None if pixels is None else int(pixels)), name


class Mosaic(_Corrupted):
    summary = "super-resolution pairs made from any data set (inputs averaged over blocks of 4x4 pixels)"
    prefix = "mosaic"

    def pixels(self, size: int) -> int:
        return min(4, size)

    def corrupt(self, images: Tensor, rng: torch.Generator, pixels: int) -> Tensor:
        import torch.nn.functional as F

        height, width = images.shape[2:]
        blocks = F.avg_pool2d(images.float(), pixels, ceil_mode=True).round_().to(images.dtype)
        return blocks.repeat_interleave(pixels, -2).repeat_interleave(pixels, -1)[..., :height, :width]


class Blur(_Corrupted):
    summary = "deblurring pairs made from any data set (inputs blurred with a 2-pixel Gaussian)"
    prefix = "blur"

    def pixels(self, size: int) -> int:
        return min(2, size)

    def corrupt(self, images: Tensor, rng: torch.Generator, pixels: int) -> Tensor:
        import torch
        import torch.nn.functional as F

        radius = math.ceil(3 * pixels)
        kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=images.device) / pixels).square())
        kernel = kernel / kernel.sum()
        planes = F.pad(images.float(), (radius, radius, radius, radius), mode="replicate")
        # sums of shifted images: a convolution of single channels is slow, and may differ between machines
        for axis in (-1, -2):
            size = images.shape[axis]
            planes = sum((planes.narrow(axis, k, size) * tap for k, tap in enumerate(kernel)), torch.zeros(()))
        return planes.round_().clamp_(0, torch.iinfo(images.dtype).max).to(images.dtype).view_as(images)


class Mask(_Corrupted):
    summary = "inpainting pairs made from any data set (inputs with a grey square of half the image side)"
    prefix = "mask"

    GREY = 128
    """Of 8 bits; 257 times as much of 16."""

    def pixels(self, size: int) -> int:
        return max(1, size // 2)

    def corrupt(self, images: Tensor, rng: torch.Generator, pixels: int) -> Tensor:
        import torch

        count, (height, width) = len(images), images.shape[2:]
        drawn = partial(torch.randint, generator=rng, device=images.device)
        if height == width:
            starts = drawn(height - pixels + 1, (2, count, 1))  # both at once, as in earlier versions
        else:
            starts = torch.stack([drawn(side - pixels + 1, (count, 1)) for side in (height, width)])
        rows, columns = (
            (position >= start) & (position < start + pixels)
            for position, start in zip((torch.arange(side, device=images.device) for side in (height, width)), starts)
        )
        grey = self.GREY if images.dtype == torch.uint8 else 257 * self.GREY
        square = (rows[:, :, None] & columns[:, None, :])[:, None]
        return torch.where(square, images.new_full((), grey), images)

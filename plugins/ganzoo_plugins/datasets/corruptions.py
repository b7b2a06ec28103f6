"""Any image data set as pairs to restore it from: `mosaic:mnist`, `blur:3:folder:PATH`. Made as they are needed."""

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
    """What the family shares: the images of another data set, each with what `corrupt` makes of it as its input.

    The data set's name may follow a number of pixels, which says how much is lost.
    """

    api_version = 1
    source = "that of the images"
    argument = "[PIXELS:]DATASET"
    paired = True
    word: ClassVar[str]

    def pixels(self, size: int) -> int:
        """How many pixels it takes where the user does not say, for images of this size."""
        raise NotImplementedError

    def corrupt(self, images: Tensor, rng: torch.Generator, pixels: int) -> Tensor:
        """Images uint8 [N, C, S, S] -> what is left of them, same shape."""
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
            raise UsageError(f"{self.word}:{argument}: {data.name} has {data.spec.kind}, not images.")
        if data.paired:
            raise UsageError(f"{self.word}:{argument}: the images of {data.name} have input images already.")
        size = data.spec.size
        pixels = self.pixels(size) if pixels is None else pixels
        if not 1 <= pixels <= size:
            raise UsageError(f"{self.word}:{argument}: expected 1 to {size} pixels for images of {size}x{size}.")
        corrupt = partial(self.corrupt, pixels=pixels)
        return dataclasses.replace(data, name=f"{self.word}:{pixels}:{data.name}", corrupt=corrupt)


def split_argument(argument: str) -> tuple[int | None, str]:
    """`4:mnist` -> (4, "mnist"), `mnist` -> (None, "mnist")."""
    found = re.fullmatch(r"(?:(\d{1,9}):)?(.+)", argument, re.DOTALL)
    pixels, name = found.groups() if found else (None, argument)
    return (None if pixels is None else int(pixels)), name


class Mosaic(_Corrupted):
    summary = "pairs: the images of any data set, out of square blocks of 4 pixels"
    word = "mosaic"

    def pixels(self, size: int) -> int:
        return min(4, size)

    def corrupt(self, images: Tensor, rng: torch.Generator, pixels: int) -> Tensor:
        import torch.nn.functional as F

        size = images.shape[-1]
        blocks = F.avg_pool2d(images.float(), pixels, ceil_mode=True).round_().to(images.dtype)
        return blocks.repeat_interleave(pixels, -2).repeat_interleave(pixels, -1)[..., :size, :size]


class Blur(_Corrupted):
    summary = "pairs: the images of any data set, out of Gaussian blurs of 2 pixels"
    word = "blur"

    def pixels(self, size: int) -> int:
        return min(2, size)

    def corrupt(self, images: Tensor, rng: torch.Generator, pixels: int) -> Tensor:
        import torch
        import torch.nn.functional as F

        reach = math.ceil(3 * pixels)
        bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=images.device) / pixels).square())
        bell = bell / bell.sum()
        planes = images.float().flatten(0, 1)[:, None]
        planes = F.pad(planes, (reach, reach, reach, reach), mode="replicate")
        planes = F.conv2d(F.conv2d(planes, bell[None, None, None]), bell[None, None, :, None])
        return planes.round_().clamp_(0, 255).to(images.dtype).view_as(images)


class Mask(_Corrupted):
    summary = "pairs: the images of any data set, with a square of half their side missing"
    word = "mask"

    GREY = 128

    def pixels(self, size: int) -> int:
        return max(1, size // 2)

    def corrupt(self, images: Tensor, rng: torch.Generator, pixels: int) -> Tensor:
        import torch

        count, size = len(images), images.shape[-1]
        first = torch.randint(size - pixels + 1, (2, count, 1), generator=rng, device=images.device)
        at = torch.arange(size, device=images.device)
        rows, columns = (at >= first) & (at < first + pixels)
        return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], self.GREY)

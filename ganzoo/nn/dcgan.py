"""The convolutional networks of Radford et al. 2016, arXiv:1511.06434, for any size they can reach."""

from __future__ import annotations

from torch import Tensor, nn

from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.nn.blocks import ConvBNLeakyReLU, ConvHead, ConvTransposeBNReLU, ConvTransposeTanh
from ganzoo.nn.init import initialise
from ganzoo.nn.mlp import Linear

CLASSIC_BASE = 4
"""The last maps of Radford et al. are 4x4, and every point of them sees 46 of the 64 pixels a side."""
OVERVIEW = 256
"""Units of the layer that sees the whole image where the last maps are larger."""


def stages(size: int) -> tuple[int, int]:
    """(base, doublings) with size = base * 2**doublings and base in 4..7, e.g. 64 -> (4, 4) and 28 -> (7, 2).

    Raises UsageError with the nearest possible sizes for a size that is not of this form.
    """
    possible = sorted(base << doublings for base in (4, 5, 6, 7) for doublings in range(1, 9))
    for doublings in range(1, 9):
        base, rest = divmod(size, 1 << doublings)
        if rest == 0 and 4 <= base <= 7:
            return base, doublings
    nearest = " or ".join(str(s) for s in sorted(sorted(possible, key=lambda s: abs(s - size))[:2]))
    raise UsageError(
        f"Image size {size} cannot be reached by doubling 4, 5, 6 or 7 pixels. Set image_size={nearest} instead."
    )


def channels(width: int, doublings: int) -> list[int]:
    """Channels of the feature maps from the image inwards: width, 2 width, 4 width, ... up to 16 width."""
    return [width * min(1 << stage, 16) for stage in range(doublings)]


class Generator(nn.Module):
    """z [N, inputs] -> [N, 2^(k-1) width, base, base] -> ... -> [N, width, size/2, size/2] -> [N, C, size, size]."""

    def __init__(self, inputs: int, width: int, spec: DataSpec):
        super().__init__()
        base, doublings = stages(spec.size)
        inward = channels(width, doublings)
        self.blocks = nn.Sequential(
            ConvTransposeBNReLU(inputs, inward[-1], kernel_size=base, stride=1, padding=0),
            *(ConvTransposeBNReLU(deep, shallow) for shallow, deep in reversed(list(zip(inward, inward[1:])))),
            ConvTransposeTanh(width, spec.channels, bias=False),
        )
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.blocks(z[:, :, None, None])
        return images


class Discriminator(nn.Module):
    """[N, C, size, size] -> halved down to [N, 2^(k-1) width, base, base] -> logits [N]. No batch norm on the image.

    Points of maps larger than the classic 4x4 see less than half of the image, 10 of 28 pixels a side: no weighted sum
    of them tells whether strokes make a digit. There a layer that sees the whole image comes before the logit.
    """

    def __init__(self, width: int, spec: DataSpec, norm: bool = True, overview_norm: bool = True):
        super().__init__()
        base, doublings = stages(spec.size)
        inward = channels(width, doublings)
        self.blocks = nn.Sequential(
            ConvBNLeakyReLU(spec.channels, width, norm=False),
            *(ConvBNLeakyReLU(shallow, deep, norm) for shallow, deep in zip(inward, inward[1:])),
        )
        features = inward[-1]
        if base > CLASSIC_BASE:
            self.blocks.append(overview(features * base**2, norm and overview_norm))
            features, base = OVERVIEW, 1
        self.head = ConvHead(features, 1, base)
        initialise(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.head(self.blocks(images))
        return logits.flatten()


def overview(inputs: int, norm: bool) -> nn.Sequential:
    """A fully connected layer over whole maps: [N, C, base, base] with `inputs` values each -> [N, OVERVIEW, 1, 1]."""
    return nn.Sequential(
        nn.Flatten(),
        Linear(inputs, OVERVIEW, bias=not norm),
        *([nn.BatchNorm1d(OVERVIEW)] if norm else []),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Unflatten(1, (OVERVIEW, 1, 1)),
    )


class TwoHeadedDiscriminator(Discriminator):
    """DCGAN's discriminator with a second head on the same features: images -> logits [N] and readings [N, readings].

    The condition that comes with the images is what the second head is to find out: `forward` does not look at it.
    """

    def __init__(self, width: int, spec: DataSpec, readings: int, norm: bool = True):
        super().__init__(width, spec, norm)
        self.reader = ConvHead(self.head.in_channels, readings, self.head.kernel_size[0])
        initialise(self.reader)

    def both_heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N] and readings [N, readings]."""
        maps = self.blocks(images)
        return self.head(maps).flatten(), self.reader(maps).flatten(1)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.both_heads(images)[0]

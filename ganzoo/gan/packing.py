"""Packing: the discriminator judges several examples at once: Lin et al. 2018, PacGAN, arXiv:1712.04086."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec

if TYPE_CHECKING:
    from ganzoo.gan.base import GAN
    from ganzoo.gan.condition import Condition


class Packed(nn.Module):
    """Examples [N, C, ...] -> logits [N / count, ...] of `count` examples in a row, whose channels are joined."""

    def __init__(self, network: nn.Module, count: int):
        super().__init__()
        self.network = network
        self.count = count

    def forward(self, examples: Tensor, condition: Condition = None) -> Tensor:
        logits: Tensor = self.network(joined(examples, self.count), condition)
        return logits


def joined(examples: Tensor, count: int) -> Tensor:
    """[N, C, ...] -> [N / count, count C, ...]. Raises UsageError if N is not a multiple of `count`."""
    if count == 1:
        return examples
    if len(examples) % count:
        raise UsageError(
            f"The discriminator judges {count} examples at once (pack={count}), and {len(examples)} is not a multiple "
            f"of {count}. A single example has no score."
        )
    return examples.reshape(len(examples) // count, count * examples.shape[1], *examples.shape[2:])


def separated(packs: Tensor, count: int) -> Tensor:
    """The inverse of `joined`."""
    return packs if count == 1 else packs.reshape(len(packs) * count, packs.shape[1] // count, *packs.shape[2:])


def pack(gan: GAN, build: Callable[[DataSpec], GAN]) -> None:
    """Give `gan` a discriminator of `config.pack` examples: that of a GAN that `build` makes for as many channels.

    Raises UsageError if the examples are judged in another way than packs can be.
    """
    count = gan.config.pack
    if gan.spec.given:
        raise UsageError(
            f"pack={count}: each example of these data comes with its own {', '.join(gan.spec.given)}, so several "
            "cannot be judged together. Choose pack=1."
        )
    if not gan.packs:
        raise UsageError(
            f"pack={count}: this architecture's discriminator does more with an example than judge it, so it must see "
            "each by itself. Choose pack=1."
        )
    gan.discriminator = Packed(build(gan.spec.with_channels(count * gan.spec.channels)).discriminator, count)

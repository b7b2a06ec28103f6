"""The timed networks, of the sizes in Radford et al. 2016, arXiv:1511.06434, and their conversion for the peers."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ganzoo.nn import (
    ConvBNLeakyReLU,
    ConvDownsample2d,
    ConvHead,
    ConvTransposeBNReLU,
    ConvTransposeTanh,
    UpsampleConv2d,
)
from ganzoo.nn.generator_plan import GeneratorChain

LATENT = 100
SEED = 0
FUSED = (ConvTransposeBNReLU, ConvBNLeakyReLU)


class Generator(GeneratorChain):
    """z [N, 100] -> [N, 512, 4, 4] -> ... -> images [N, 3, 64, 64]."""

    def __init__(self) -> None:
        super().__init__(
            ConvTransposeBNReLU(LATENT, 512, 4, 1, 0),
            *(ConvTransposeBNReLU(deep, deep // 2) for deep in (512, 256, 128)),
            ConvTransposeTanh(64, 3, bias=False),
        )

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = super().forward(z[:, :, None, None])  # type: ignore[no-untyped-call]
        return images


class Discriminator(nn.Sequential):
    """Images [N, 3, 64, 64] -> [N, 64, 32, 32] -> ... -> [N, 512, 4, 4] -> logits [N]."""

    def __init__(self) -> None:
        super().__init__(
            ConvBNLeakyReLU(3, 64, norm=False),
            *(ConvBNLeakyReLU(shallow, 2 * shallow) for shallow in (64, 128, 256)),
            ConvHead(512, 1, 4),
        )

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return logits.flatten()


def seeded(*makers: Callable[[], nn.Module]) -> list[nn.Module]:
    """The networks that `makers` build, always with the same weights; batch norms differ from their defaults."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(SEED)
        return [_randomize(make()) for make in makers]


def _randomize(network: nn.Module) -> nn.Module:
    """Give the batch norms random scales, shifts and statistics, from torch's global random state."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0.0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            module.running_mean.normal_(0.0, 0.1)
    return network


def plain(network: nn.Module) -> nn.Module:
    """A copy of `network` that consists of stock PyTorch modules only."""
    result = copy.deepcopy(network)
    for module in list(result.modules()):
        if isinstance(module, FUSED):
            module.__class__ = nn.Sequential  # type: ignore[assignment]
        elif isinstance(module, ConvHead):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
        for name, last in module.named_children():
            if isinstance(last, ConvTransposeTanh):
                last.__class__ = nn.ConvTranspose2d  # type: ignore[assignment]
                setattr(module, name, nn.Sequential(last, nn.Tanh()))
            elif isinstance(last, UpsampleConv2d):
                last.__class__ = nn.Conv2d  # type: ignore[assignment]
                setattr(module, name, nn.Sequential(nn.Upsample(scale_factor=2), last))
            elif isinstance(last, ConvDownsample2d):
                last.__class__ = nn.Conv2d  # type: ignore[assignment]
                setattr(module, name, nn.Sequential(last, nn.AvgPool2d(2)))
    return result


def folded(network: nn.Module) -> nn.Module:
    """`plain` for inference: every batch norm is folded into the weights of the convolution before it."""
    result = plain(network).eval()
    for module in result.modules():
        if type(module) is nn.Sequential and len(module) == 3 and isinstance(module[1], nn.BatchNorm2d):
            conv: Any = module[0]
            module[0] = fuse_conv_bn_eval(conv, module[1], transpose=isinstance(conv, nn.ConvTranspose2d))
            del module[1]
    return result

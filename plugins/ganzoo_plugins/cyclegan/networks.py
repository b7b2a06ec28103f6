"""The translator of Zhu et al. 2017, arXiv:1703.10593, section 4 and appendix, after Johnson et al. 2016."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.nn import initialise
from ganzoo_plugins.cyclegan import CycleGANConfig


class Translator(nn.Module):
    """Images [N, C, H, W] -> [N, C', H, W]: two halvings, residual blocks, two doublings, all with instance norm."""

    def __init__(self, inputs: int, outputs: int, config: CycleGANConfig):
        super().__init__()
        wide, wider, widest = config.width, 2 * config.width, 4 * config.width
        self.layers = nn.Sequential(
            Reflect(3), nn.Conv2d(inputs, wide, 7), *_norm(wide),
            nn.Conv2d(wide, wider, 3, 2, 1), *_norm(wider),
            nn.Conv2d(wider, widest, 3, 2, 1), *_norm(widest),
            *(ResidualBlock(widest) for _ in range(config.blocks)),
            nn.ConvTranspose2d(widest, wider, 3, 2, 1, output_padding=1), *_norm(wider),
            nn.ConvTranspose2d(wider, wide, 3, 2, 1, output_padding=1), *_norm(wide),
            Reflect(3), nn.Conv2d(wide, outputs, 7), nn.Tanh(),
        )  # fmt: skip
        initialise(self)

    def forward(self, z: Tensor | None, images: Tensor | None = None) -> Tensor:
        """`translator(z, images)` as a generator, whose noise is not used, or `translator(images)`."""
        translated: Tensor = self.layers(z if images is None else images)
        return translated


class ResidualBlock(nn.Module):
    """x + f(x), f two 3x3 convolutions: [N, width, H, W] -> the same."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.Sequential(
            Reflect(1), nn.Conv2d(width, width, 3), *_norm(width),
            Reflect(1), nn.Conv2d(width, width, 3), nn.InstanceNorm2d(width),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        result: Tensor = maps + self.layers(maps)
        return result


class Reflect(nn.Module):
    """Reflection padding of maps [N, C, H, W]; its gradient, unlike nn.ReflectionPad2d's, is deterministic on GPUs."""

    def __init__(self, by: int):
        super().__init__()
        self.by = by

    def forward(self, maps: Tensor) -> Tensor:
        for dim in (2, 3):
            before, after = maps.narrow(dim, 1, self.by), maps.narrow(dim, maps.shape[dim] - self.by - 1, self.by)
            maps = torch.cat([before.flip(dim), maps, after.flip(dim)], dim)
        return maps


def _norm(width: int) -> tuple[nn.Module, nn.Module]:
    return nn.InstanceNorm2d(width), nn.ReLU(inplace=True)

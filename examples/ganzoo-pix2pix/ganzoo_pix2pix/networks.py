"""The U-Net and the PatchGAN of Isola et al. 2017, arXiv:1611.07004, for any even image size."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ganzoo.errors import UsageError
from ganzoo.nn import ConvBNLeakyReLU, ConvTransposeBNReLU, ConvTransposeTanh
from ganzoo.plugin import DataSpec
from ganzoo_pix2pix import Pix2PixConfig


def halvings(size: int, limit: int) -> int:
    """Number of times that `size` can be halved, down to 2 pixels, at most `limit`. Raises UsageError if it is 0."""
    if size % 2 or size < 4:
        nearest = " or ".join(str(even) for even in (size - 1, size + 1) if even >= 4) or "4"
        raise UsageError(f"Image size {size} cannot be halved. Set image_size={nearest} instead.")
    return next(times for times in range(limit, 0, -1) if size % (1 << times) == 0 and size >> times >= 2)


class UNet(nn.Module):
    """(z, inputs [N, C', size, size]) -> images [N, C, size, size]. The noise z is not used.

    Every upward stage also receives the output of the downward stage of the same size.
    """

    def __init__(self, config: Pix2PixConfig, spec: DataSpec):
        super().__init__()
        depth = halvings(spec.size, config.depth)
        down = [config.width * min(1 << stage, 8) for stage in range(depth)]
        self.down = nn.ModuleList(
            ConvBNLeakyReLU(shallow, deep, norm=stage > 0)
            for stage, (shallow, deep) in enumerate(zip([spec.inputs, *down], down))
        )
        self.bottom = nn.Sequential(nn.Conv2d(down[-1], down[-1], 3, padding=1), nn.ReLU(inplace=True))
        pairs = list(enumerate(zip(down, down[1:])))
        self.up = nn.ModuleList(
            nn.Sequential(
                ConvTransposeBNReLU(2 * deep, shallow), nn.Dropout(config.dropout if depth - stage < 4 else 0.0)
            )
            for stage, (shallow, deep) in reversed(pairs)
        )
        self.last = ConvTransposeTanh(2 * down[0], spec.channels)
        initialise(self)

    def forward(self, z: Tensor, inputs: Tensor) -> Tensor:
        skips = []
        maps = inputs
        for stage in self.down:
            maps = stage(maps)
            skips.append(maps)
        maps = self.bottom(maps)
        for stage in self.up:
            maps = stage(torch.cat([maps, skips.pop()], dim=1))
        images: Tensor = self.last(torch.cat([maps, skips.pop()], dim=1))
        return images


class PatchDiscriminator(nn.Module):
    """(images [N, C, size, size], inputs [N, C', size, size]) -> a logit for each overlapping patch, [N, h, w]."""

    def __init__(self, config: Pix2PixConfig, spec: DataSpec):
        super().__init__()
        depth = halvings(spec.size, config.patch_depth)
        widths = [spec.channels + spec.inputs, *(config.width * min(1 << stage, 8) for stage in range(depth))]
        norm = config.discriminator_norm == "batch"
        self.blocks = nn.Sequential(
            *(
                ConvBNLeakyReLU(shallow, deep, norm=norm and stage > 0)
                for stage, (shallow, deep) in enumerate(zip(widths, widths[1:]))
            )
        )
        self.head = nn.Conv2d(widths[-1], 1, 3, padding=1)
        initialise(self)

    def forward(self, images: Tensor, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(self.blocks(torch.cat([images, inputs], dim=1)))
        return logits.squeeze(1)


def initialise(network: nn.Module) -> None:
    """Weights N(0, 0.02), batch norm scales N(1, 0.02), biases 0, in place: Isola et al. 2017, section 6.2."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
        bias = getattr(module, "bias", None)
        if isinstance(bias, nn.Parameter):
            nn.init.zeros_(bias)

"""Building blocks of generators and discriminators."""

from __future__ import annotations

from torch import Tensor, nn

from ganzoo.ops import linear


class ConvTransposeBNReLU(nn.Sequential):
    """ConvTranspose2d (no bias), BatchNorm2d, ReLU: the block that DCGAN generators are made of (arXiv:1511.06434).

    Input [N, in_channels, H, W], output [N, out_channels, H', W'], H' = (H - 1) * stride - 2 * padding + kernel_size;
    the defaults double height and width. The state dict is that of
    `nn.Sequential(nn.ConvTranspose2d(...), nn.BatchNorm2d(...), nn.ReLU())`, and stays so whatever computes the block.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 4, stride: int = 2, padding: int = 1):
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, kernel_size, stride, padding, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class ConvBNLeakyReLU(nn.Sequential):
    """Conv2d(4, 2, 1), BatchNorm2d, LeakyReLU(0.2): the block of the DCGAN discriminator (arXiv:1511.06434).

    Input [N, in_channels, H, W], output [N, out_channels, H / 2, W / 2]. With `norm=False` the batch norm is left out
    and the convolution has a bias, as in the paper's first layer and wherever a penalty needs per-image gradients.
    """

    def __init__(self, in_channels: int, out_channels: int, norm: bool = True, slope: float = 0.2):
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 4, 2, 1, bias=not norm),
            *([nn.BatchNorm2d(out_channels)] if norm else []),
            nn.LeakyReLU(slope, inplace=True),
        )


class Linear(nn.Linear):
    """nn.Linear, computed by `ganzoo.ops.linear`: [N, in_features] -> [N, out_features]."""

    def forward(self, input: Tensor) -> Tensor:
        return linear(input, self.weight, self.bias)


def mlp(widths: tuple[int, ...], *between: nn.Module) -> nn.Sequential:
    """Linear layers from widths[0] to widths[-1] with the modules `between` them: [N, widths[0]] -> [N, widths[-1]]."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(widths, widths[1:]):
        layers += [Linear(inputs, outputs), *between]
    return nn.Sequential(*layers[: len(layers) - len(between)])


BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


def uses_batch_statistics(network: nn.Module) -> bool:
    """Whether an image's output depends on the other images of its batch while training."""
    return any(isinstance(module, BATCH_NORMS) for module in network.modules())

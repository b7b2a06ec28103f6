"""DCGAN with 5x5 kernels and leaky ReLU in both networks, as tutorials build it for MNIST.

At 28 pixels and width 64 they are those of TensorFlow's tutorial "Deep Convolutional Generative Adversarial Network":
7x7x256 feature maps, 2,305,472 and 212,865 trainable parameters.
"""

from __future__ import annotations

from torch import Tensor, nn

from ganzoo.nn.dcgan import stages
from ganzoo.plugin import DataSpec

SLOPE = 0.3
DROPOUT = 0.3
KERNEL = 5


class Generator(nn.Module):
    """z [N, inputs] -> [N, 2^k width, base, base] -> doubled k times -> images [N, C, size, size]."""

    def __init__(self, inputs: int, width: int, spec: DataSpec):
        super().__init__()
        base, doublings = stages(spec.size)
        widths = [width << stage for stage in range(doublings, -1, -1)]
        layers: list[nn.Module] = [
            nn.Linear(inputs, widths[0] * base * base, bias=False),
            nn.BatchNorm1d(widths[0] * base * base),
            nn.LeakyReLU(SLOPE, inplace=True),
            nn.Unflatten(1, (widths[0], base, base)),
        ]
        for stage, (before, after) in enumerate(zip(widths, widths[1:])):
            layers += [_up(before, after, 1 if stage == 0 else 2), nn.BatchNorm2d(after)]
            layers += [nn.LeakyReLU(SLOPE, inplace=True)]
        self.layers = nn.Sequential(*layers, _up(width, spec.channels, 2), nn.Tanh())
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        images: Tensor = self.layers(z)
        return images


class Discriminator(nn.Module):
    """Images [N, C, size, size] -> halved k times, with dropout -> [N, 2^(k-1) width, base, base] -> logits [N]."""

    def __init__(self, width: int, spec: DataSpec):
        super().__init__()
        base, halvings = stages(spec.size)
        widths = [spec.channels, *(width << stage for stage in range(halvings))]
        layers: list[nn.Module] = []
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Conv2d(before, after, KERNEL, 2, 2), nn.LeakyReLU(SLOPE, inplace=True), nn.Dropout(DROPOUT)]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * base * base, 1))
        initialise(self)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.layers(images).squeeze(1)
        return logits


def initialise(network: nn.Module) -> None:
    """Xavier-uniform weights and biases 0, in place."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _up(inputs: int, outputs: int, stride: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(inputs, outputs, KERNEL, stride, 2, output_padding=stride - 1, bias=False)

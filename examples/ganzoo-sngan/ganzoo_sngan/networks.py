"""The networks of Miyato et al. 2018, arXiv:1802.05957, table 3, for any size that is a multiple of 4."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ganzoo import DataSpec
from ganzoo.errors import UsageError
from ganzoo.nn import Conv3x3, ConvBNLeakyReLU, ConvTransposeBNReLU
from ganzoo_sngan import SNGANConfig


def stages(size: int) -> tuple[int, int]:
    """(base, doublings) with size = base * 2**doublings: three as in the paper if possible, else two.

    Raises UsageError with the nearest supported sizes if `size` is not a multiple of 4.
    """
    if size % 4:
        below = size // 4 * 4
        nearest = " or ".join(str(other) for other in (below, below + 4) if other)
        raise UsageError(f"Image size {size} is not a multiple of 4. Set image_size={nearest} instead.")
    doublings = 2 if size % 8 else 3
    return size >> doublings, doublings


class Generator(nn.Module):
    """z [N, latent_dim] -> [N, 2^k width, base, base] -> ... -> [N, width, size, size] -> images [N, C, size, size]."""

    def __init__(self, config: SNGANConfig, spec: DataSpec):
        super().__init__()
        base, doublings = stages(spec.size)
        widths = [config.width << stage for stage in range(doublings, -1, -1)]
        self.seed = nn.Linear(config.latent_dim, widths[0] * base * base)
        self.shape = (widths[0], base, base)
        self.blocks = nn.Sequential(*(ConvTransposeBNReLU(deep, shallow) for deep, shallow in zip(widths, widths[1:])))
        self.image = nn.Conv2d(config.width, spec.channels, 3, padding=1)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        images: Tensor = self.image(self.blocks(self.seed(z).unflatten(1, self.shape)))
        return images.tanh()


class Discriminator(nn.Module):
    """Images [N, C, size, size] -> logits [N]. Every layer is divided by its largest singular value.

    Each stage is a 3x3 convolution that adds channels, and a strided 4x4 one: ganzoo's fused blocks without norm.
    """

    def __init__(self, config: SNGANConfig, spec: DataSpec):
        super().__init__()
        base, doublings = stages(spec.size)
        layers: list[nn.Module] = []
        inputs, width = spec.channels, config.width
        for _ in range(doublings):
            halve = ConvBNLeakyReLU(width, width, norm=False, slope=config.slope)
            spectral_norm(halve[0])
            layers += [spectral_norm(Conv3x3(inputs, width)), nn.LeakyReLU(config.slope), halve]
            inputs, width = width, 2 * width
        layers += [spectral_norm(Conv3x3(inputs, width)), nn.LeakyReLU(config.slope), nn.Flatten()]
        self.layers = nn.Sequential(*layers)
        self.head = spectral_norm(nn.Linear(width * base * base, 1))

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        logits: Tensor = self.head(self.layers(images))
        return logits.squeeze(1)

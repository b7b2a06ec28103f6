"""The networks of Brock et al. 2019, arXiv:1809.11096, appendix B, in the size that StudioGAN uses for CIFAR-10."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganzoo.gan import GAN
from ganzoo.nn import Conv3x3, SelfAttention, UpBlock, VectorBatchNorm, norm_relu, resnet
from ganzoo.plugin import DataSpec
from ganzoo_plugins.biggan import BigGANConfig, BigGANSampling


class Generator(nn.Module):
    """(z [N, latent_dim], labels [N]) -> images [N, C, H, W].

    z is split into one part for the first layer and one for every block, where it is joined to the label's embedding
    and gives the scales and shifts of the norms.
    """

    def __init__(self, config: BigGANConfig, spec: DataSpec):
        super().__init__()
        widths, base = resnet.generator_widths(config.width, spec)
        blocks = len(widths) - 1
        self.parts = [config.latent_dim - blocks * (config.latent_dim // (blocks + 1))]
        self.parts += [config.latent_dim // (blocks + 1)] * blocks
        self.embed = nn.Embedding(spec.classes, config.embedding)
        self.start = nn.Linear(self.parts[0], widths[0] * math.prod(base))
        self.shape = (widths[0], *base)

        def norm(channels: int) -> nn.Module:
            return VectorBatchNorm(channels, config.embedding + self.parts[-1])

        self.blocks = nn.ModuleList(UpBlock(inputs, outputs, norm) for inputs, outputs in zip(widths, widths[1:]))
        self.attention = SelfAttention(widths[-2])
        self.norm = nn.BatchNorm2d(widths[-1])
        self.image = Conv3x3(widths[-1], spec.channels)
        initialise(self)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        first, *rest = z.split(self.parts, dim=1)
        label = self.embed(labels)
        maps = self.start(first).unflatten(1, self.shape)
        for number, (block, part) in enumerate(zip(self.blocks, rest), start=1):
            if number == len(self.blocks):
                maps = self.attention(maps)
            maps = block(maps, torch.cat([label, part], dim=1))
        images: Tensor = self.image(norm_relu(self.norm, maps))
        return images.tanh()


def discriminator(config: BigGANConfig, spec: DataSpec) -> nn.Module:
    """SNGAN's residual discriminator with self-attention and a projection head."""
    network = resnet.Discriminator(config.width, spec, spec.classes, attention=True)
    initialise(network)
    return network


class TruncatedGAN(GAN):
    """A GAN that can sample from truncated noise: Brock et al. 2019, section 3.1."""

    sampling_type = BigGANSampling

    def latent(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        z = super().latent(n, rng)
        bound = None if self.sampling is None else self.sampling.truncation
        if bound is not None:
            low = torch.special.ndtr(torch.full((), -bound, device=z.device, dtype=torch.float64))
            uniform = low + torch.special.ndtr(z.double()) * (1 - 2 * low)  # as if every |z| > bound were drawn again
            z = torch.special.ndtri(uniform).clamp(-bound, bound).to(z.dtype)
        return z


def initialise(network: nn.Module) -> None:
    """Orthogonal weights and biases 0, in place: Brock et al. 2019, section 3."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
            nn.init.orthogonal_(module.weight)
            bias = getattr(module, "bias", None)
            if bias is not None:
                nn.init.zeros_(bias)

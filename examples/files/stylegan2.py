"""A small StyleGAN2 (Karras et al. 2020): modulated convolutions, style mixing, lazy R1 and path length, truncation.

ganzoo train examples/files/stylegan2.py:StyleGAN2 --dataset mnist --image-size 32 --out runs/style
ganzoo sample runs/style --set truncation=0.5
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ganzoo
from ganzoo.augmentations import normal
from ganzoo.config import setting
from ganzoo.errors import UsageError
from ganzoo.gan import Logs
from ganzoo.nn import mlp
from ganzoo.plugin import DataSpec, LossName, PenaltyName, Sampling


class StyleGAN2Game(ganzoo.GAN):
    """R1 in every 16th step and path length in every 4th, as much stronger as they are rarer: sections 3.1 and 3.2."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self.register_buffer("path_length", torch.zeros(()))

    def phase(self, step: int) -> Hashable:
        return step % 16 == 0, step % 4 == 0

    def generate(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        styles = self.generator.styles(z)
        if self.sampling is not None:
            styles = torch.lerp(self.generator.mean_style, styles, self.sampling.truncation)
        return self.generator(styles)

    def penalty(self, *args: Any) -> tuple[Tensor | float, Logs]:
        if not self.phase(self.step_context.step)[0]:
            return 0.0, {}
        value, logs = super().penalty(*args)
        return 16 * value, logs

    def generator_loss(self, real: Tensor, fake: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Logs]:
        loss, logs = super().generator_loss(real, fake, condition)
        step = self.step_context
        styles = self.generator.styles(step.micro.z)
        self.generator.mean_style.lerp_(step.mean_over_ranks(styles.detach().float().mean((0, 1))), 0.005)
        if not self.phase(step.step)[1]:
            return loss, logs
        noise = normal(fake, *fake.shape[1:], rng=step.rng) / (fake.shape[2] * fake.shape[3]) ** 0.5
        (gradient,) = torch.autograd.grad((self.generator(styles) * noise).sum(), styles, create_graph=True)
        lengths = gradient.float().square().sum(2).mean(1).sqrt()
        self.path_length.lerp_(step.mean_over_ranks(lengths.detach().mean()), 0.01)
        value = (lengths - self.path_length).square().mean()
        return loss + 4 * self.config.path_weight * value, logs | {"path_penalty": value.detach()}


class ModulatedConv(nn.Module):
    """A 3x3 convolution whose input channels a style scales, demodulated: [N, C, H, W], [N, style] -> [N, C', H, W]."""

    def __init__(self, inputs: int, outputs: int, style: int, demodulate: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3) / (inputs * 9) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = nn.Linear(style, inputs)
        nn.init.ones_(self.scale.bias)
        self.demodulate = demodulate

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale = self.scale(style)
        y = F.conv2d(x * scale[:, :, None, None], self.weight, padding=1)
        if self.demodulate:
            energy = (self.weight.square().sum((2, 3)) @ scale.square().T.to(self.weight.dtype)).T
            y = y * (energy + 1e-8).rsqrt()[:, :, None, None].to(y.dtype)
        return y + self.bias[:, None, None]


class Generator(nn.Module):
    """Styles [N, layers, style] -> images [N, C, size, size]: from 4x4 pixels, doubled, with one RGB layer a size."""

    def __init__(self, config: StyleGAN2Config, spec: DataSpec):
        super().__init__()
        self.stages = stages(spec)
        width, style = config.width, config.latent_dim
        self.mapping = mlp((config.latent_dim, style, style), nn.LeakyReLU(0.2))
        self.mixing = config.mixing
        self.constant = nn.Parameter(torch.randn(width, 4, 4))
        self.convs = nn.ModuleList(ModulatedConv(width, width, style) for _ in range(self.stages + 1))
        self.images = nn.ModuleList(ModulatedConv(width, spec.channels, style, False) for _ in range(self.stages + 1))
        self.register_buffer("mean_style", torch.zeros(style))

    def styles(self, z: Tensor) -> Tensor:
        """The styles [N, layers, style]; in training, some images take those of another one from a random layer on."""
        styles: Tensor = self.mapping(F.normalize(z, dim=1) * z.shape[1] ** 0.5)
        layers = styles[:, None].expand(-1, self.stages + 1, -1)
        if not self.training or not self.mixing or not self.stages:
            return layers
        start = torch.randint(1, self.stages + 1, (len(z), 1, 1), device=z.device)
        start = torch.where(torch.rand(len(z), 1, 1, device=z.device) < self.mixing, start, self.stages + 1)
        return torch.where(torch.arange(self.stages + 1, device=z.device)[:, None] < start, layers, layers.roll(1, 0))

    def forward(self, styles: Tensor) -> Tensor:
        x = self.constant.expand(len(styles), -1, -1, -1)
        image: Tensor | None = None
        for stage, (conv, to_image) in enumerate(zip(self.convs, self.images)):
            if image is not None:
                x, image = (F.interpolate(y, scale_factor=2, mode="bilinear") for y in (x, image))
            x = F.leaky_relu(conv(x, styles[:, stage]), 0.2) * 2**0.5
            rgb = to_image(x, styles[:, stage])
            image = rgb if image is None else image + rgb
        assert image is not None
        return image.tanh()


class Discriminator(nn.Module):
    """Images [N, C, size, size] -> residual blocks that halve them to 4x4 -> logits [N]."""

    def __init__(self, config: StyleGAN2Config, spec: DataSpec):
        super().__init__()
        width = config.width
        self.first = nn.Conv2d(spec.channels, width, 1)
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(stages(spec)))
        self.last = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2), nn.Flatten())
        self.head = nn.Linear(width * 16, 1)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        x = F.leaky_relu(self.first(images), 0.2)
        for conv in self.convs:
            x = F.avg_pool2d(x + F.leaky_relu(conv(x), 0.2), 2)
        logits: Tensor = self.head(self.last(x)).squeeze(1)
        return logits


def stages(spec: DataSpec) -> int:
    """The number of doublings from 4x4 to the size of the images. UsageError unless it is a power of 2."""
    doublings = spec.size.bit_length() - 3
    if spec.size < 8 or spec.size != 4 << doublings:
        near = max(8, 1 << max(spec.size - 1, 1).bit_length())
        raise UsageError(f"Image size {spec.size} is not a power of 2 from 8 on. Set image_size={near} instead.")
    return doublings


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Config(ganzoo.Config):
    loss: LossName = "nonsaturating"
    penalty: PenaltyName = "r1"
    penalty_weight: float = 1.0
    path_weight: float = setting(2.0, "weight of the penalty on changes of path length", ge=0)
    mixing: float = setting(0.9, "share of images with two styles in training", ge=0, le=1)
    latent_dim: int = 64
    width: int = setting(64, "channels of every layer", ge=1)
    beta1: float = 0.0
    beta2: float = 0.99
    generator_lr: float = 2e-3
    discriminator_lr: float = 2e-3


@dataclass(frozen=True, kw_only=True)
class StyleGAN2Sampling(Sampling):
    truncation: float = setting(1.0, "distance of styles from their mean, psi; images below 1 are more typical", ge=0)


class StyleGAN2(ganzoo.Architecture):
    api_version = 2
    summary = "styles modulate convolutions; lazy R1 and path length; truncation when sampling"
    paper = "Karras et al. 2020, Analyzing and Improving the Image Quality of StyleGAN, arXiv:1912.04958"
    Config = StyleGAN2Config
    Sampling = StyleGAN2Sampling

    def build(self, config: Any, spec: DataSpec) -> ganzoo.GAN:
        return StyleGAN2Game(Generator(config, spec), Discriminator(config, spec), config, spec)

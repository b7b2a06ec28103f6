"""Networks conditioned on labels (Mirza and Osindero 2014, arXiv:1411.1784): convolutional, or MLPs as in the paper."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ganzoo.nn import dcgan as dcgan
from ganzoo.nn import mlp
from ganzoo.plugin import DataSpec
from ganzoo_plugins.cgan import CGANConfig


class ConvGenerator(nn.Module):
    """(z [N, latent_dim], labels [N]) -> images [N, C, H, W]: noise and label embedding are concatenated."""

    def __init__(self, config: CGANConfig, spec: DataSpec):
        super().__init__()
        self.embed = nn.Embedding(spec.classes, config.embedding)
        self.images = dcgan.Generator(config.latent_dim + config.embedding, config.width, spec)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        images: Tensor = self.images(torch.cat([z, self.embed(labels)], dim=1))
        return images


class ConvDiscriminator(nn.Module):
    """(images [N, C, H, W], labels [N]) -> logits [N]: the label's embedding is one more channel of the image.

    The label enters with the image, as in the paper. If it is combined with the last features only, for example by an
    inner product, the discriminator wins early and the generator collapses to one image per class.
    """

    def __init__(self, config: CGANConfig, spec: DataSpec):
        super().__init__()
        self.channel_shape = (1, *spec.shape[1:])
        self.embed = nn.Embedding(spec.classes, math.prod(self.channel_shape))
        input_spec = spec.with_channels(spec.channels + 1)
        self.images = dcgan.Discriminator(config.width, input_spec, norm=config.discriminator_norm == "batch")

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        channel = self.embed(labels).unflatten(1, self.channel_shape).to(images.dtype)
        logits: Tensor = self.images(torch.cat([images, channel], dim=1))
        return logits


class MLPGenerator(nn.Module):
    """(z [N, latent_dim], labels [N]) -> images [N, C, H, W]: ReLU layers on noise and label embedding."""

    def __init__(self, config: CGANConfig, spec: DataSpec):
        super().__init__()
        self.shape = spec.shape
        self.embed = nn.Embedding(spec.classes, config.embedding)
        inputs, pixels = config.latent_dim + config.embedding, math.prod(spec.shape)
        self.layers = mlp((inputs, *config.generator_widths, pixels), nn.ReLU(inplace=True))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        images: Tensor = self.layers(torch.cat([z, self.embed(labels)], dim=1)).tanh().unflatten(1, self.shape)
        return images


class MLPDiscriminator(nn.Module):
    """(images [N, C, H, W], labels [N]) -> logits [N]: LeakyReLU layers on pixels and label embedding."""

    def __init__(self, config: CGANConfig, spec: DataSpec):
        super().__init__()
        self.embed = nn.Embedding(spec.classes, config.embedding)
        inputs = math.prod(spec.shape) + config.embedding
        self.layers = mlp((inputs, *config.discriminator_widths, 1), nn.LeakyReLU(0.2, inplace=True))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat([images.flatten(1), self.embed(labels)], dim=1)).squeeze(1)
        return logits

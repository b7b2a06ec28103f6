"""Networks conditioned on a label (Mirza and Osindero 2014, arXiv:1411.1784): convolutional, or as in the paper."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ganzoo.nn import dcgan as dcgan
from ganzoo.nn import mlp
from ganzoo.plugin import DataSpec
from ganzoo_plugins.cgan import CGANConfig


class ConvGenerator(nn.Module):
    """(z [N, latent_dim], labels [N]) -> images [N, C, size, size]: the label's vector joins the noise."""

    def __init__(self, config: CGANConfig, spec: DataSpec):
        super().__init__()
        self.embed = nn.Embedding(spec.classes, config.embedding)
        self.images = dcgan.Generator(config.latent_dim + config.embedding, config.width, spec)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        images: Tensor = self.images(torch.cat([z, self.embed(labels)], dim=1))
        return images


class ConvDiscriminator(nn.Module):
    """(images [N, C, size, size], labels [N]) -> logits [N]: the label joins the image as one more channel.

    It enters where the image does, as in the paper. A label that only meets the last features, by an inner product say,
    lets the discriminator win early, and generators then learn to draw one image a class.
    """

    def __init__(self, config: CGANConfig, spec: DataSpec):
        super().__init__()
        self.plane = (1, spec.size, spec.size)
        self.embed = nn.Embedding(spec.classes, spec.size**2)
        seen = replace(spec, channels=spec.channels + 1)
        self.images = dcgan.Discriminator(config.width, seen, norm=config.discriminator_norm == "batch")

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        planes = self.embed(labels).unflatten(1, self.plane).to(images.dtype)
        logits: Tensor = self.images(torch.cat([images, planes], dim=1))
        return logits


class MLPGenerator(nn.Module):
    """(z [N, latent_dim], labels [N]) -> images [N, C, size, size], by ReLU layers on noise and label together."""

    def __init__(self, config: CGANConfig, spec: DataSpec):
        super().__init__()
        self.shape = (spec.channels, spec.size, spec.size)
        self.embed = nn.Embedding(spec.classes, config.embedding)
        inputs, pixels = config.latent_dim + config.embedding, spec.channels * spec.size**2
        self.layers = mlp((inputs, *config.generator_widths, pixels), nn.ReLU(inplace=True))

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        images: Tensor = self.layers(torch.cat([z, self.embed(labels)], dim=1)).tanh().unflatten(1, self.shape)
        return images


class MLPDiscriminator(nn.Module):
    """(images [N, C, size, size], labels [N]) -> logits [N], by LeakyReLU layers on image and label together."""

    def __init__(self, config: CGANConfig, spec: DataSpec):
        super().__init__()
        self.embed = nn.Embedding(spec.classes, config.embedding)
        inputs = spec.channels * spec.size**2 + config.embedding
        self.layers = mlp((inputs, *config.discriminator_widths, 1), nn.LeakyReLU(0.2, inplace=True))

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        logits: Tensor = self.layers(torch.cat([images.flatten(1), self.embed(labels)], dim=1)).squeeze(1)
        return logits

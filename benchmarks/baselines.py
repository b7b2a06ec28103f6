"""A plain PyTorch training loop in the style of published scripts: the baseline of ganzoo's loop.

Networks and optimizer settings are ganzoo's, so only the loop differs: a DataLoader over single images, each converted
from a PIL image to a normalised tensor; separate forward passes for real and fake; Adam with its defaults; losses read
in every step.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ganzoo.data import ImageData
from ganzoo.gan import GAN


class OneByOne(Dataset):
    """Images one at a time through the operations of torchvision's MNIST, ToTensor and Normalize(0.5, 0.5).

    Each line below is an operation that the classes of torchvision, which is not needed, perform for every image.
    """

    def __init__(self, data: ImageData):
        self.images = torch.from_numpy(np.asarray(data.images))[:, 0]
        # a data set yields a label with every image, even if the architecture does not use it
        self.labels = (
            torch.zeros(len(data), dtype=torch.int64) if data.labels is None else torch.from_numpy(data.labels)
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = Image.fromarray(self.images[index].numpy()), int(self.labels[index])
        return self._normalize(self._to_tensor(image)), label

    def _to_tensor(self, image: Image.Image) -> Tensor:
        pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
        pixels = pixels.view(image.size[1], image.size[0], len(image.getbands()))
        return pixels.permute((2, 0, 1)).contiguous().to(torch.float32).div(255)

    def _normalize(self, image: Tensor) -> Tensor:
        mean, std = torch.as_tensor([0.5], dtype=image.dtype), torch.as_tensor([0.5], dtype=image.dtype)
        if (std == 0).any():
            raise ValueError("a standard deviation of 0")
        return image.clone().sub_(mean.view(-1, 1, 1)).div_(std.view(-1, 1, 1))


def plain_linears(network: nn.Module) -> nn.Module:
    """Let nn.Linear compute every fully connected layer of `network`."""
    for module in network.modules():
        if isinstance(module, nn.Linear):
            module.__class__ = nn.Linear
    return network


def plain_steps(gan: GAN, data: ImageData) -> Iterator[tuple[float, float]]:
    """Training steps of `gan` on `data` without end; yields the two losses of each."""
    generator, discriminator = plain_linears(gan.generator), plain_linears(gan.discriminator)
    config: Any = gan.config
    betas = (config.beta1, config.beta2)
    generator_optimizer = torch.optim.Adam(generator.parameters(), config.generator_lr, betas)
    discriminator_optimizer = torch.optim.Adam(discriminator.parameters(), config.discriminator_lr, betas)
    loader = DataLoader(OneByOne(data), config.batch_size, shuffle=True, drop_last=True)
    criterion = nn.BCEWithLogitsLoss()
    while True:
        for real, classes in loader:
            labels = classes if gan.conditional else None
            valid, fake_target = torch.ones(len(real)), torch.zeros(len(real))

            generator_optimizer.zero_grad()
            fake = generator(torch.randn(len(real), config.latent_dim), labels)
            generator_loss = criterion(discriminator(fake, labels), valid)
            generator_loss.backward()
            generator_optimizer.step()

            discriminator_optimizer.zero_grad()
            on_real = criterion(discriminator(real, labels), valid)
            on_fake = criterion(discriminator(fake.detach(), labels), fake_target)
            discriminator_loss = (on_real + on_fake) / 2
            discriminator_loss.backward()
            discriminator_optimizer.step()
            yield discriminator_loss.item(), generator_loss.item()

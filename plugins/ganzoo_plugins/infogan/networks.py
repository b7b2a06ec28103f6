"""Networks and losses of Chen et al. 2016, arXiv:1606.03657, with DCGAN's convolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ganzoo.gan import AuxiliaryGAN
from ganzoo.nn import dcgan as dcgan


class Generator(dcgan.Generator):
    """(z [N, latent_dim], codes [N, categories + continuous]) -> images [N, C, H, W]."""

    def forward(self, z: Tensor, codes: Tensor | None = None) -> Tensor:
        assert codes is not None
        return super().forward(torch.cat([z, codes], dim=1))


class MutualInformationGAN(AuxiliaryGAN):
    """Maximises the mutual information between images and their codes: Chen et al. 2016, eq. 5 and 6.

    The condition is codes, float32 [N, categories + continuous]: a one-hot category, then values in [-1, 1]. They are
    random; if labels are given, these are the categories.
    """

    learns_from = "fake"

    @property
    def classes(self) -> int:
        categories: int = self.config.categories
        return categories

    def condition(self, given: Tensor | None, n: int, rng: torch.Generator | None = None) -> Tensor:
        categories, continuous = self.config.categories, self.config.continuous
        if given is None:
            given = torch.randint(categories, (n,), device=self.device, generator=rng)
        values = torch.rand(n, continuous, device=self.device, generator=rng) * 2 - 1
        one_hot = given[:, None] == torch.arange(categories, device=self.device)  # F.one_hot would wait for the GPU
        return torch.cat([one_hot.float(), values], dim=1)

    def auxiliary_loss(self, prediction: Tensor, condition: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative lower bound of the mutual information, up to constants; continuous codes as unit Gaussians."""
        categories = self.config.categories
        category = condition[:, :categories].argmax(dim=1)
        value = self.config.info_weight * F.cross_entropy(prediction[:, :categories], category)
        accuracy = (prediction[:, :categories].argmax(dim=1) == category).float().mean()
        if not self.config.continuous:
            return value, {"code_accuracy": accuracy}
        error = (prediction[:, categories:] - condition[:, categories:]).square()
        value = value + self.config.continuous_weight * 0.5 * error.sum(dim=1).mean()
        return value, {"code_accuracy": accuracy, "code_error": error.detach().mean()}

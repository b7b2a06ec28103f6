"""Networks and objective of Odena et al. 2017, arXiv:1610.09585, on the stages of DCGAN."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.gan import AuxiliaryGAN
from ganzoo.nn import dcgan as dcgan
from ganzoo.plugin import DataSpec
from ganzoo_plugins.acgan import ACGANConfig


class Generator(dcgan.Generator):
    """(z [N, latent_dim], labels [N]) -> images [N, C, size, size]: the label's vector multiplies the noise.

    Where they are put side by side, the classifier's lesson is learnt first, by one image a class for any noise.
    """

    def __init__(self, config: ACGANConfig, spec: DataSpec):
        super().__init__(config.latent_dim, config.width, spec)
        self.embed = nn.Embedding(spec.classes, config.latent_dim)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return super().forward(z * self.embed(labels))


class ClassifyingGAN(AuxiliaryGAN):
    """The discriminator learns the classes, and the generator to be classified as asked: Odena et al. 2017, section 4.

    Odena et al. let the discriminator learn them from fakes, too. On MNIST the networks then agreed on classes of their
    own: a row of 7s for label 3, each recognised.
    """

    learns_from = "real"

    def auxiliary_loss(self, read: Tensor, condition: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        accuracy = (read.argmax(dim=1) == condition).float().mean()
        return self.config.class_weight * F.cross_entropy(read, condition), {"class_accuracy": accuracy}

"""Networks and losses of Odena et al. 2017, arXiv:1610.09585, with DCGAN's convolutions."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from ganzoo.gan import AuxiliaryGAN
from ganzoo.nn import dcgan as dcgan
from ganzoo.plugin import DataSpec
from ganzoo_plugins.acgan import ACGANConfig


class Generator(dcgan.Generator):
    """(z [N, latent_dim], labels [N]) -> images [N, C, H, W]: the noise is multiplied by the label's embedding.

    If they are concatenated instead, the generator first satisfies the classifier, with one image per class regardless
    of the noise.
    """

    def __init__(self, config: ACGANConfig, spec: DataSpec):
        super().__init__(config.latent_dim, config.width, spec)
        self.embed = nn.Embedding(spec.classes, config.latent_dim)

    def forward(self, z: Tensor, labels: Tensor | None = None) -> Tensor:
        assert labels is not None
        return super().forward(z * self.embed(labels))


class ClassifierGAN(AuxiliaryGAN):
    """Adversarial loss plus classification loss: Odena et al. 2017, section 4.

    Unlike in the paper, the discriminator learns the classes from real images only. When it learnt them from generated
    images as well, the networks agreed on arbitrary classes on MNIST: a row of 7s for label 3, each classified as 3.
    """

    learns_from = "real"

    def __init__(self, generator: nn.Module, discriminator: nn.Module, config: ACGANConfig, spec: DataSpec):
        super().__init__(generator, discriminator, config, spec)
        self.generator_weight = config.generator_class_weight

    def auxiliary_loss(self, prediction: Tensor, condition: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        accuracy = (prediction.argmax(dim=1) == condition).float().mean()
        return self.config.class_weight * F.cross_entropy(prediction, condition), {"class_accuracy": accuracy}

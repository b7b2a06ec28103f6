"""The networks of Arjovsky et al. 2017, arXiv:1701.07875, section 4.2: DCGAN's, without a sigmoid in the critic.

All discriminators in ganzoo return logits, and the loss applies the sigmoid; the Wasserstein loss applies none.
"""

from __future__ import annotations

from torch import nn

from ganzoo.nn import dcgan as dcgan
from ganzoo.plugin import DataSpec


class Critic(dcgan.Discriminator):
    """DCGAN's discriminator, without batch norm in the fully connected layer: [N, C, H, W] -> scores [N].

    Real and generated images are normalised separately. Right before the score, this would give both the same mean, but
    the critic's loss is the difference of these means.
    """

    def __init__(self, width: int, spec: DataSpec, norm: bool = True):
        super().__init__(width, spec, norm, hidden_norm=False)


class Generator(dcgan.Generator):
    """DCGAN's generator with smaller initial weights: z [N, inputs] -> images [N, C, H, W].

    Batch norm makes the output independent of their scale, but RMSprop with a learning rate of 5e-5 changes small
    weights sooner: it takes 100 steps to move one by its initial size instead of 400.
    """

    INITIAL_STD = 0.005

    def __init__(self, inputs: int, width: int, spec: DataSpec):
        super().__init__(inputs, width, spec)
        for layer in self.modules():
            if isinstance(layer, nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, self.INITIAL_STD)

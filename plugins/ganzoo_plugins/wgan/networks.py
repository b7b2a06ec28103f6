"""The networks of Arjovsky et al. 2017, arXiv:1701.07875, section 4.2: DCGAN's, without a sigmoid on the critic.

ganzoo's discriminators return logits and leave the sigmoid to the loss, so a critic needs nothing taken away: the
Wasserstein loss simply never applies one. On points it is the multilayer perceptron of the original GAN.
"""

from __future__ import annotations

from torch import nn

from ganzoo.nn import dcgan as dcgan
from ganzoo.plugin import DataSpec


class Critic(dcgan.Discriminator):
    """DCGAN's discriminator, but no batch norm between the whole image and the score: [N, C, size, size] -> scores [N].

    Reals and fakes are normalised apart. Right before the score this would give both the same mean, and it is the
    difference of means that a critic is to find.
    """

    def __init__(self, width: int, spec: DataSpec, norm: bool = True):
        super().__init__(width, spec, norm, overview_norm=False)


class Generator(dcgan.Generator):
    """DCGAN's generator from smaller weights: z [N, inputs] -> images [N, C, size, size].

    Batch norm takes their scale away again, but RMSprop at 5e-5 turns small weights sooner: it needs 100 steps to move
    one by as much as it starts with, not 400.
    """

    INITIAL = 0.005

    def __init__(self, inputs: int, width: int, spec: DataSpec):
        super().__init__(inputs, width, spec)
        for layer in self.modules():
            if isinstance(layer, nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0.0, self.INITIAL)

"""The networks of Arjovsky et al. 2017, arXiv:1701.07875, section 4.2: DCGAN's, without a sigmoid on the critic.

ganzoo's discriminators return logits and leave the sigmoid to the loss, so the critic *is* DCGAN's discriminator: the
Wasserstein loss simply never applies one. On points it is the multilayer perceptron of the original GAN.
"""

from ganzoo_plugins.dcgan.networks import Discriminator as Critic
from ganzoo_plugins.dcgan.networks import Generator
from ganzoo_plugins.vanilla.networks import Discriminator as PointCritic
from ganzoo_plugins.vanilla.networks import Generator as PointGenerator

__all__ = ["Critic", "Generator", "PointCritic", "PointGenerator"]

"""The auto-encoder and the objective of Zhao et al. 2017, arXiv:1609.03126, with DCGAN's convolutions."""

from __future__ import annotations

from torch import Tensor, nn

from ganzoo.gan import GAN
from ganzoo.losses import pull_away
from ganzoo.nn import ConvHead
from ganzoo.nn.dcgan import Discriminator, Generator
from ganzoo.nn.init import initialise
from ganzoo.plugin import DataSpec
from ganzoo_plugins.ebgan import EBGANConfig


class AutoEncoder(nn.Module):
    """Images [N, C, H, W] -> minus their mean squared reconstruction error in units of the margin, [N]."""

    def __init__(self, config: EBGANConfig, spec: DataSpec):
        super().__init__()
        self.margin = config.margin
        encoder = Discriminator(config.width, spec, norm=config.discriminator_norm == "batch")
        head = ConvHead(encoder.head.in_channels, config.code, encoder.head.kernel_size)
        initialise(head)
        self.encoder = nn.Sequential(encoder.blocks, head, nn.Flatten())
        self.decoder = Generator(config.code, config.width, spec)
        if config.discriminator_norm == "none":
            remove_batch_norm(self.decoder)

    def forward(self, images: Tensor, condition: Tensor | None = None) -> Tensor:
        errors: Tensor = (self.decoder(self.encoder(images)) - images).square().flatten(1).mean(1)
        return -errors / self.margin


def remove_batch_norm(network: nn.Module) -> None:
    """Replace every batch norm by the identity, in place."""
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            if isinstance(module, nn.BatchNorm2d):
                setattr(parent, name, nn.Identity())


class PullAwayGAN(GAN):
    """A GAN whose generator avoids images of similar codes: Zhao et al. 2017, section 2.4."""

    packs = False

    def generator_loss(
        self, real: Tensor, fake: Tensor, condition: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        loss, logs = super().generator_loss(real, fake, condition)
        if not self.config.pull_away:
            return loss, logs
        similarity = pull_away(self.discriminator.encoder(self.augment(fake)).float())  # type: ignore[operator]
        return loss + self.config.pull_away * similarity, {**logs, "pull_away": similarity.detach()}

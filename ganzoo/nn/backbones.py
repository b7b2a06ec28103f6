"""The networks of an architecture whose backbone is a setting."""

from __future__ import annotations

from torch import nn

from ganzoo.core.plugin import BackboneConfig
from ganzoo.core.spec import DataSpec
from ganzoo.nn import dcgan, resnet


def backbone_networks(
    config: BackboneConfig, spec: DataSpec, pool: resnet.Pool = "sum", norm: bool = False
) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator of `config.backbone`; `norm`: batch norm in DCGAN's discriminator.

    If `spec` has classes, the generator uses conditional batch norm and the discriminator the projection of its
    features on the label's embedding. `pool` is how the ResNet's discriminator pools its features over pixels.
    """
    latent_dim, width, classes = config.latent_dim, config.width, spec.classes
    if config.backbone == "resnet":
        generator: nn.Module = resnet.Generator(latent_dim, width, spec, classes)
        return generator, resnet.Discriminator(width, spec, classes, pool=pool)
    if classes:
        generator = dcgan.ConditionalGenerator(latent_dim, width, spec, classes)
        return generator, dcgan.ProjectionDiscriminator(width, spec, classes, norm)
    return dcgan.Generator(latent_dim, width, spec), dcgan.Discriminator(width, spec, norm)

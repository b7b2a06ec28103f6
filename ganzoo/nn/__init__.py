"""Building blocks for generators and discriminators, shared by the built-in architectures and plugins."""

from ganzoo.nn.batch_norm import SynchronisedBatchNorm, synchronise, uses_batch_statistics
from ganzoo.nn.blocks import (
    Conv3x3,
    ConvBNLeakyReLU,
    ConvDownsample2d,
    ConvHead,
    ConvTransposeBNReLU,
    ConvTransposeTanh,
    UpsampleConv2d,
)
from ganzoo.nn.init import initialise, scaled_normal
from ganzoo.nn.mlp import Linear, MLPDiscriminator, MLPGenerator, mlp

__all__ = [
    "Conv3x3",
    "ConvBNLeakyReLU",
    "ConvDownsample2d",
    "ConvHead",
    "ConvTransposeBNReLU",
    "ConvTransposeTanh",
    "Linear",
    "MLPDiscriminator",
    "MLPGenerator",
    "SynchronisedBatchNorm",
    "UpsampleConv2d",
    "initialise",
    "mlp",
    "scaled_normal",
    "synchronise",
    "uses_batch_statistics",
]

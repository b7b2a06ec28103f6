"""Building blocks for generators and discriminators, shared by the built-in architectures and plugins."""

from ganzoo.nn.batch_norm import SynchronisedBatchNorm, synchronise, uses_batch_statistics
from ganzoo.nn.blocks import ConvBNLeakyReLU, ConvHead, ConvTransposeBNReLU, ConvTransposeTanh
from ganzoo.nn.init import initialise, scaled_normal
from ganzoo.nn.mlp import Linear, MLPDiscriminator, MLPGenerator, mlp

__all__ = [
    "ConvBNLeakyReLU",
    "ConvHead",
    "ConvTransposeBNReLU",
    "ConvTransposeTanh",
    "Linear",
    "MLPDiscriminator",
    "MLPGenerator",
    "SynchronisedBatchNorm",
    "initialise",
    "mlp",
    "scaled_normal",
    "synchronise",
    "uses_batch_statistics",
]

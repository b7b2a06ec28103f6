"""Building blocks for generators and discriminators, shared by the built-in architectures and plugins."""

from ganzoo.nn.attention import SelfAttention
from ganzoo.nn.backbones import backbone_networks
from ganzoo.nn.batch_norm import SynchronisedBatchNorm, synchronise, uses_batch_statistics
from ganzoo.nn.blocks import (
    Conv1x1,
    Conv3x3,
    ConvBNLeakyReLU,
    ConvDownsample2d,
    ConvHead,
    ConvTransposeBNReLU,
    ConvTransposeTanh,
    UpsampleConv2d,
)
from ganzoo.nn.conditional import ConditionalBatchNorm, ProjectionHead, VectorBatchNorm, norm_relu
from ganzoo.nn.dropout import Dropout
from ganzoo.nn.equalised import EqualisedConv2d, EqualisedLinear, MinibatchStddev
from ganzoo.nn.init import initialise, scaled_normal
from ganzoo.nn.mlp import Linear, MLPDiscriminator, MLPGenerator, mlp
from ganzoo.nn.modulated import ModulatedConv2d, StyledConv2d
from ganzoo.nn.patches import PatchDiscriminator
from ganzoo.nn.resnet import DownBlock, UpBlock
from ganzoo.nn.signals import Conv1d, ConvTranspose1d
from ganzoo.nn.spectral import spectrally_normalise

__all__ = [
    "ConditionalBatchNorm",
    "Conv1d",
    "Conv1x1",
    "Conv3x3",
    "ConvBNLeakyReLU",
    "ConvDownsample2d",
    "ConvHead",
    "ConvTranspose1d",
    "ConvTransposeBNReLU",
    "ConvTransposeTanh",
    "DownBlock",
    "Dropout",
    "EqualisedConv2d",
    "EqualisedLinear",
    "Linear",
    "MLPDiscriminator",
    "MLPGenerator",
    "MinibatchStddev",
    "ModulatedConv2d",
    "PatchDiscriminator",
    "ProjectionHead",
    "SelfAttention",
    "StyledConv2d",
    "SynchronisedBatchNorm",
    "UpBlock",
    "UpsampleConv2d",
    "VectorBatchNorm",
    "backbone_networks",
    "initialise",
    "mlp",
    "norm_relu",
    "scaled_normal",
    "spectrally_normalise",
    "synchronise",
    "uses_batch_statistics",
]

"""Operations that ganzoo computes faster than stock PyTorch, each beside its reference."""

from ganzoo.ops.backend import use_backend
from ganzoo.ops.blocks import conv_bn_leaky_relu, conv_leaky_relu, conv_transpose_bn_relu, conv_transpose_tanh
from ganzoo.ops.linear import linear

__all__ = [
    "conv_bn_leaky_relu",
    "conv_leaky_relu",
    "conv_transpose_bn_relu",
    "conv_transpose_tanh",
    "linear",
    "use_backend",
]

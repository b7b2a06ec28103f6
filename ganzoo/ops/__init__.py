"""Operations that ganzoo computes faster than stock PyTorch, each with its reference in plain PyTorch."""

from ganzoo.ops.backend import NativeError, use_backend
from ganzoo.ops.batch_norm import batch_norm_leaky_relu
from ganzoo.ops.blur import blur
from ganzoo.ops.conv1d import conv1d, conv_transpose1d
from ganzoo.ops.conv1x1 import conv1x1
from ganzoo.ops.conv_bn import conv_bn_leaky_relu, conv_transpose_bn_relu
from ganzoo.ops.convolution import conv_leaky_relu
from ganzoo.ops.few_channels import conv_transpose_tanh
from ganzoo.ops.linear import linear
from ganzoo.ops.resample import conv_downsample, upsample_conv
from ganzoo.ops.stride1 import conv3x3

__all__ = [
    "NativeError",
    "batch_norm_leaky_relu",
    "blur",
    "conv1d",
    "conv1x1",
    "conv3x3",
    "conv_bn_leaky_relu",
    "conv_downsample",
    "conv_leaky_relu",
    "conv_transpose1d",
    "conv_transpose_bn_relu",
    "conv_transpose_tanh",
    "linear",
    "upsample_conv",
    "use_backend",
]

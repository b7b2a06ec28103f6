"""The CUDA kernels of csrc/cuda: the tensors they accept, and their settings.

They implement the operators of csrc/torch/cpu under torch's CUDA key and share fakes and derivatives. Inputs are
float32, float16 or bfloat16, parameters float32; sums are float32. Float32 is multiplied as tf32 if
`torch.backends.cudnn.conv.fp32_precision` says so, and else to float32's precision by three tf32 products.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ganzoo.ops import build_config
from ganzoo.ops.backend import recording
from ganzoo.ops.constant_results import assume_constant_result
from ganzoo.ops.library import Library

EMULATED = False
"""Whether CPU tensors take the place of CUDA tensors, so that tests can run the emulated kernels."""

HOPPER = (9, 0)
"""The compute capability of GPUs that have kernels of their own, with `wgmma` and bulk copies."""
TILE = 64
"""Images and channels must be multiples of it for these: kBox of csrc/cuda."""

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def _inapplicable_reason() -> str | None:
    if torch.version.cuda is None:
        return "this torch is not built for CUDA"
    gpus = build_config.gpus()
    if gpus and max(gpus) < build_config.OLDEST_GPU:
        return "the GPUs here are older than compute capability 8.0"
    return None


LIBRARY = Library(
    build_config.CUDA,
    {
        "ganzoo_cuda_architectures": (ctypes.c_char_p, []),
        "ganzoo_cuda_allow_tf32": (None, [ctypes.c_int]),
        "ganzoo_cuda_toolkit": (ctypes.c_int, []),
    },
    _inapplicable_reason,
)


@assume_constant_result
def unavailable_reason() -> str | None:
    """Why there are no CUDA kernels in this process, as a clause; None if there are."""
    loaded = LIBRARY.loaded or LIBRARY.load()
    if loaded.library is None:
        return loaded.status
    loaded.library.ganzoo_cuda_allow_tf32(int(allows_tf32()))
    return None


def allows_tf32() -> bool:
    """Whether convolutions may use tf32 products; torch's older name for the setting cannot always be read."""
    cudnn: Any = torch.backends.cudnn
    return bool(cudnn.conv.fp32_precision == "tf32")


def is_cuda(t: Tensor) -> bool:
    """Whether the CUDA kernels are those for `t`."""
    return t.is_cuda or EMULATED


def unsupported_reason(x: Tensor, weight: Tensor, params: Sequence[Tensor], training: bool) -> str | None:
    """Why the CUDA kernels cannot take these tensors, as a clause; None if they can."""
    tensors = (x, weight, *params)
    devices = sorted({str(t.device) for t in tensors})
    if len(devices) > 1:
        return f"the tensors are on different devices, {' and '.join(devices)}: move them to one"
    if (gpu := _capability(x.device.type, x.device.index)) < build_config.OLDEST_GPU:
        return f"{x.device} has compute capability {gpu[0]}.{gpu[1]}, and they need 8.0"
    if any(t.layout != torch.strided for t in tensors):
        return "they are for dense tensors"
    dtype = compute_dtype(x)
    if dtype not in DTYPES or x.dtype not in DTYPES:
        return f"they are for {', '.join(str(t).removeprefix('torch.') for t in DTYPES)}"
    if weight.dtype not in (torch.float32, dtype):
        return "the weight is neither float32 nor of the input's dtype"
    if any(t.dtype not in (torch.float32, torch.float32 if training else dtype) for t in params):
        return "the batch norm is not in float32"
    return None


def is_profitable(x: Tensor, weight: Tensor, one_pixel: bool) -> bool:
    """Whether `auto` uses these kernels: where they are faster than PyTorch's (measured: docs/kernels_gpu.md).

    That is on Hopper, in 16 bits, for images and channels that fill the tiles of its kernels, next to an image of few
    channels, or for the batch norm after a layer of one pixel, in a step that a CUDA graph replays.
    """
    if not recording() or compute_dtype(x).itemsize != 2 or _capability(x.device.type, x.device.index) != HOPPER:
        return False
    if one_pixel:
        return weight.shape[1] % 8 == 0
    if has_few_channels(compute_dtype(x), weight):
        return True
    return x.shape[0] % TILE == 0 and weight.shape[0] % TILE == 0 and weight.shape[1] % TILE == 0


def has_few_channels(dtype: torch.dtype, weight: Tensor) -> bool:
    """Whether there are kernels for this weight next to an image of few channels: csrc/cuda/few_channels.h."""
    if weight.dim() != 4 or not 1 <= weight.shape[1] <= 4:
        return False
    return weight.shape[0] % 16 == 0 and weight.shape[0] <= 256 and dtype in (torch.float16, torch.bfloat16)


def compute_dtype(x: Tensor) -> torch.dtype:
    """The dtype in which a block computes: autocast's if it is on."""
    return torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype


def describe() -> str:
    """One line for `ganzoo doctor`: the kernels, or the reason why there are none."""
    if torch.version.cuda is None:
        return "none: this torch is not built for CUDA"
    loaded = LIBRARY.load()
    if loaded.library is None:
        return f"none: {loaded.status}"
    version = loaded.library.ganzoo_cuda_toolkit()
    built, runs = f"{version // 1000}.{version % 1000 // 10}", torch.version.cuda
    note = "" if built == runs else f"; built by CUDA {built}, torch by {runs}, compatible within a major version"
    names = loaded.library.ganzoo_cuda_architectures().decode()
    return f"for {names}, {loaded.status} ({loaded.path}){note}"


@assume_constant_result
def _capability(device_type: str, index: int | None) -> tuple[int, int]:
    """The compute capability of a GPU; of another device, one that is sufficient."""
    return _capability_of_gpu(index) if device_type == "cuda" and index is not None else build_config.OLDEST_GPU


@functools.cache
def _capability_of_gpu(index: int) -> tuple[int, int]:
    return torch.cuda.get_device_capability(index)

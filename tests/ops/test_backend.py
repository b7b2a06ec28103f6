"""The choice between native kernels and the reference."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import nn

from ganzoo import ops
from ganzoo.core.errors import UsageError
from ganzoo.nn import ConvBNLeakyReLU, ConvTransposeBNReLU, ConvTransposeTanh
from ganzoo.ops import NativeError, backend, cpu_library, cuda_library
from ganzoo.ops.conv_bn import CONV_BN, CONV_TRANSPOSE_BN
from ganzoo.ops.convolution import CONV_FEW_CHANNELS
from ganzoo.ops.dispatch import BlockRule, Kernels
from ganzoo.ops.few_channels import CONV_TRANSPOSE_TANH
from ganzoo.ops.library import Loaded
from tests.ops.conftest import Recorder, needs_native


def test_backends_are_chosen_by_argument_context_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANZOO_OPS", raising=False)
    assert backend.resolve("auto") == "auto"
    monkeypatch.setenv("GANZOO_OPS", "reference")
    assert backend.resolve("auto") == "reference"
    with ops.use_backend("native"):
        assert backend.resolve("auto") == "native"
        assert backend.resolve("reference") == "reference"
    monkeypatch.setenv("GANZOO_OPS", "natve")
    with pytest.raises(UsageError, match=r"Unknown GANZOO_OPS 'natve'. Did you mean native"):
        backend.resolve("auto")
    with pytest.raises(UsageError, match="Unknown backend 'fast'"), ops.use_backend("fast"):
        pass


def test_without_kernels_auto_says_so_once_and_native_raises(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cpu_library.LIBRARY, "loaded", Loaded(None, None, "there is no C++ compiler"))
    monkeypatch.setattr(backend, "_warned", set())
    block, x = ConvTransposeBNReLU(64, 64), torch.randn(16, 64, 8, 8)
    with caplog.at_level(logging.WARNING, "ganzoo.ops"):
        for _ in range(2):
            assert block(x).shape == (16, 64, 16, 16)
    assert [record.getMessage() for record in caplog.records] == [
        "native kernels are not used: there is no C++ compiler; PyTorch computes instead"
    ]
    with ops.use_backend("native"), pytest.raises(NativeError, match="there is no C\\+\\+ compiler"):
        block(x)
    with pytest.raises(NativeError, match="no native kernels"):
        cpu_library.choose_instruction_set(None)


@needs_native
@pytest.mark.parametrize(
    ("block", "shape", "operator"),
    [
        (ConvTransposeBNReLU(32, 32), (16, 32, 8, 8), "ganzoo::conv_transpose4x4s2_stats"),
        (ConvTransposeBNReLU(31, 32), (32, 31, 8, 8), None),
        (ConvTransposeBNReLU(16, 64, 4, 1, 0), (64, 16, 1, 1), "ganzoo::channel_stats"),
        (ConvBNLeakyReLU(32, 32), (16, 32, 16, 16), "ganzoo::conv4x4s2_stats"),
        (ConvBNLeakyReLU(32, 32), (15, 32, 16, 16), None),
        (ConvBNLeakyReLU(3, 8, norm=False), (16, 3, 16, 16), "ganzoo::conv4x4s2"),
        (ConvTransposeTanh(16, 3), (16, 16, 8, 8), "ganzoo::conv_transpose4x4s2_tanh"),
        (ConvTransposeTanh(16, 5), (16, 16, 8, 8), None),
    ],
)
def test_auto_uses_the_kernels_where_they_are_faster(
    block: nn.Module, shape: tuple[int, ...], operator: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GANZOO_OPS", raising=False)
    with Recorder() as recorder:
        block(torch.randn(shape).contiguous(memory_format=torch.channels_last))
    native = [name for name in recorder.names if name.startswith("ganzoo::")]
    assert native == [] if operator is None else operator in native


@pytest.mark.parametrize(
    ("rule", "weight", "dtype", "used"),
    [
        (CONV_FEW_CHANNELS, (64, 3), torch.bfloat16, True),
        (CONV_FEW_CHANNELS, (64, 3), torch.float32, False),
        (CONV_FEW_CHANNELS, (24, 3), torch.bfloat16, False),
        (CONV_TRANSPOSE_TANH, (16, 1), torch.float16, True),
        (CONV_TRANSPOSE_TANH, (512, 1), torch.float16, False),
        (CONV_BN, (64, 3), torch.bfloat16, False),
        (CONV_BN, (64, 64), torch.bfloat16, True),
        (CONV_TRANSPOSE_BN, (64, 40), torch.bfloat16, False),
    ],
)
def test_auto_never_reads_channels_one_by_one_on_a_gpu(
    rule: BlockRule, weight: tuple[int, int], dtype: torch.dtype, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_library, "recording", lambda: True)
    monkeypatch.setattr(cuda_library, "_capability", lambda *_: cuda_library.HOPPER)
    x = torch.empty(64, weight[0 if rule.transposed else 1], 8, 8, dtype=dtype)
    assert rule.is_profitable(Kernels.CUDA, x, torch.empty(*weight, 4, 4)) == used


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(shape)


WITHOUT_CUDA: dict[str, Callable[[str], torch.Tensor]] = {
    "conv1x1": lambda backend: ops.conv1x1(ones(2, 3, 4, 4), ones(5, 3, 1, 1), backend=backend),
    "conv3x3": lambda backend: ops.conv3x3(ones(2, 3, 4, 4), ones(5, 3, 3, 3), backend=backend),
    "upsample_conv": lambda backend: ops.upsample_conv(ones(2, 3, 4, 4), ones(5, 3, 3, 3), backend=backend),
    "conv_downsample": lambda backend: ops.conv_downsample(ones(2, 3, 4, 4), ones(5, 3, 3, 3), backend=backend),
    "batch_norm_leaky_relu": lambda backend: ops.batch_norm_leaky_relu(
        ones(2, 3, 4, 4), None, None, None, None, training=True, momentum=0.1, eps=1e-5, backend=backend
    ),
    "conv_bn_leaky_relu": lambda backend: ops.conv_bn_leaky_relu(
        ones(2, 3, 4, 4), ones(5, 3, 3, 3), None, None, None, None, stride=1, padding=1, training=True, momentum=0.1,
        eps=1e-5, backend=backend,
    ),
    "linear": lambda backend: ops.linear(ones(2, 3), ones(5, 3), backend=backend),
    "conv1d": lambda backend: ops.conv1d(ones(2, 3, 8), ones(5, 3, 3), backend=backend),
    "conv_transpose1d": lambda backend: ops.conv_transpose1d(ones(2, 3, 8), ones(3, 5, 3), backend=backend),
}  # fmt: skip


@pytest.mark.parametrize("name", WITHOUT_CUDA)
def test_pytorch_computes_what_has_no_cuda_kernels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = WITHOUT_CUDA[name]
    expected = call("reference")
    monkeypatch.setattr(cuda_library, "EMULATED", True)  # takes the decisions of a GPU
    for known in ("auto", "native", "reference"):
        assert torch.equal(call(known), expected)
    with pytest.raises(UsageError, match="Unknown backend 'nativ'"):
        call("nativ")


def test_auto_is_compiled_without_a_graph_break_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_library, "EMULATED", True)  # takes the decisions of a GPU
    x, weight = torch.randn(2, 64, 8, 8), torch.randn(64, 64, 4, 4)
    compiled = torch.compile(lambda x, weight: ops.conv_leaky_relu(x, weight, None), fullgraph=True, backend="eager")
    expected = ops.conv_leaky_relu(x, weight, None, backend="reference")
    torch.testing.assert_close(compiled(x, weight), expected)
    torch.compiler.reset()

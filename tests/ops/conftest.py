"""The native kernels in each instruction set this machine has, and a float64 oracle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ganzoo.ops import NativeError, cpu_library

REASON = cpu_library.unavailable_reason()
needs_native = pytest.mark.skipif(REASON is not None, reason=f"no native kernels: {REASON}")


def available() -> list[str]:
    names = []
    for name in cpu_library.INSTRUCTION_SETS if REASON is None else ():
        try:
            cpu_library.choose_instruction_set(name)
            names.append(name)
        except NativeError:
            continue
    if names:
        cpu_library.choose_instruction_set(None)
    return names


@pytest.fixture(params=available() or ["none"])
def instruction_set(request: pytest.FixtureRequest) -> Iterator[str]:
    if REASON is not None:
        pytest.skip(f"no native kernels: {REASON}")
    cpu_library.choose_instruction_set(request.param)
    yield request.param
    cpu_library.choose_instruction_set(None)


class Recorder(TorchDispatchMode):
    """The names of all operators called in this context."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.name())
        return func(*args, **(kwargs or {}))


def random(rng: torch.Generator, *shape: int, layout: str = "nchw") -> Tensor:
    """Standard normal numbers in one of the memory layouts LAYOUTS."""
    if layout == "strided":
        return torch.randn(*shape[:-1], 2 * shape[-1], generator=rng)[..., ::2]
    if layout == "transposed":
        return torch.randn(*shape[:2], shape[3], shape[2], generator=rng).transpose(2, 3)
    values = torch.randn(*shape, generator=rng)
    return values.contiguous(memory_format=torch.channels_last) if layout == "channels_last" else values


LAYOUTS = ("nchw", "channels_last", "strided", "transposed")


def close(actual: Tensor, exact: Tensor) -> None:
    """Assert equality within the rounding error of float32 sums of this magnitude."""
    scale = float(exact.detach().abs().max()) if exact.numel() else 0.0
    torch.testing.assert_close(actual.double(), exact.double(), rtol=1e-4, atol=1e-5 * max(1.0, scale))


def shaken(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give `network` parameters and statistics that differ from every default."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in network.state_dict().values():
            if tensor.is_floating_point():
                positive = torch.rand(tensor.shape, generator=rng) + 0.5
                tensor.copy_(positive if tensor.dim() == 1 else torch.randn(tensor.shape, generator=rng) * 0.1)
    return network

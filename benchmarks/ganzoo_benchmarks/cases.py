"""The cases of `ganzoo bench`, and the race that compares the contestants of one."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import torch
from ganzoo_benchmarks import peers, steps
from ganzoo_benchmarks.networks import LATENT, SEED, Generator, seeded
from ganzoo_benchmarks.peers import NATIVE, REFERENCE, Call, Pass
from ganzoo_benchmarks.timing import Conditions, Turns, gauged_turns
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ganzoo.core.errors import GanzooError, UsageError, did_you_mean
from ganzoo.nn import ConvBNLeakyReLU, ConvDownsample2d, ConvTransposeBNReLU, UpsampleConv2d
from ganzoo.ops import NativeError, cpu_library

TOLERANCE = 1e-3
"""Largest relative difference from the reference, in the Euclidean norm: float32 passes, bfloat16 does not."""
BFLOAT16_TOLERANCE = 1e-2
"""The same for cases in bfloat16, whose reference is float32."""
TURN_SECONDS = 0.05
PEAK_ROUNDS = 2_000_000
BLOCKS = [("up", 512, 4), ("up", 256, 8), ("up", 128, 16), ("down", 64, 32), ("down", 128, 16), ("down", 256, 8)]
RESIDUAL_BLOCKS = [
    *(("same", 64, 32), ("same", 128, 16), ("same", 256, 8), ("same", 512, 4)),
    *(("upsample", 256, 8), ("downsample", 256, 16)),
    ("patch", 64, 16),
]


@dataclass(frozen=True)
class Case:
    """One comparison: `builders` returns the builders of the contestants, see `peers` and `steps`.

    `conditions` are the contexts in which contestants take their turns, see `timing`.
    """

    name: str
    what: str
    batch: int
    builders: Callable[[], dict[str, Callable[[], Call]]]
    bfloat16: bool = False
    conditions: Conditions = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """The result of a race. `operations` of the reference (a multiply-add is two); `peak` in operations per second."""

    case: Case
    operations: float
    peak: float
    seconds: dict[str, float]
    turns: Turns
    """Turns of all contestants: total, disturbed and counted."""
    left_out: dict[str, str] = field(default_factory=dict)
    """The reason for every peer that did not run."""

    def rate(self, name: str) -> float:
        """Operations per second."""
        return self.operations / self.seconds[name]

    def ratio(self, name: str) -> float:
        """Its time as a multiple of the native kernels' time: above 1, the kernels are faster."""
        return self.seconds[name] / self.seconds[NATIVE]


def block(kind: str, channels: int, size: int, what: Pass, batch: int) -> Case:
    """A block on square images of `size` pixels a side and `channels` channels.

    "up" and "down" are 4x4 convolutions with batch norm, which double and halve the side, "same" a 3x3 convolution with
    batch norm, "patch" the last block of PatchGAN, a 4x4 convolution with stride 1 and batch norm; "upsample" and
    "downsample" are 3x3 convolutions after upsampling and before pooling.
    """
    makers: dict[str, tuple[int, Callable[[], nn.Module]]] = {
        "up": (channels // 2, lambda: ConvTransposeBNReLU(channels, channels // 2)),
        "down": (channels * 2, lambda: ConvBNLeakyReLU(channels, channels * 2)),
        "same": (channels, lambda: ConvBNLeakyReLU(channels, channels, kernel_size=3, stride=1)),
        "patch": (channels * 2, lambda: ConvBNLeakyReLU(channels, channels * 2, stride=1)),
        "upsample": (channels, lambda: nn.Sequential(UpsampleConv2d(channels, channels))),
        "downsample": (channels, lambda: nn.Sequential(ConvDownsample2d(channels, channels))),
    }
    out, make = makers[kind]
    words = {"inference": "inference", "forward": "forward, training", "backward": "forward and backward"}
    return Case(
        f"{kind}{channels}.{what}",
        f"{kind} {channels} -> {out} at {size} x {size}, {words[what]}",
        batch,
        lambda: peers.contestants(seeded(make)[0], _noise(batch, channels, size, size), what, "native"),
    )


def generator(batch: int) -> Case:
    """Inference of the 64-pixel generator."""
    return Case(
        f"generator.{batch}",
        "64-pixel generator, inference",
        batch,
        lambda: peers.contestants(seeded(Generator)[0], _noise(batch, LATENT), "inference", "auto"),
    )


def bfloat16_generator(batch: int) -> Case:
    """Inference of the 64-pixel generator in bfloat16."""
    return Case(
        f"generator-bf16.{batch}",
        "64-pixel generator, inference in bfloat16",
        batch,
        lambda: peers.bfloat16_contestants(seeded(Generator)[0], _noise(batch, LATENT)),
        bfloat16=True,
    )


def training_step(batch: int, bfloat16: bool = False) -> Case:
    """A training step of both 64-pixel networks."""
    what = "training step of the 64-pixel generator and discriminator" + " in bfloat16" * bfloat16
    name = "training-step-bf16" if bfloat16 else "training-step"
    return Case(name, what, batch, lambda: steps.contestants(batch, bfloat16), bfloat16, steps.CONDITIONS)


PASSES: tuple[Pass, ...] = ("inference", "forward", "backward")
BATCHES: dict[Pass, int] = {"inference": 64, "forward": 128, "backward": 128}
ALL = [block(*shape, what, BATCHES[what]) for shape in (*BLOCKS, *RESIDUAL_BLOCKS) for what in PASSES]
IN_BFLOAT16 = (bfloat16_generator(64), bfloat16_generator(1), training_step(128, bfloat16=True))
CASES = {case.name: case for case in (*ALL, generator(64), generator(1), training_step(128), *IN_BFLOAT16)}


def chosen(patterns: Sequence[str], among: Mapping[str, Case] | None = None) -> list[Case]:
    """The cases that match any of `patterns` ("*" matches anything), without patterns all that this processor can run.

    Raises UsageError.
    """
    cases = CASES if among is None else among
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in cases):
            command = "ganzoo bench --help" if among is None else ""
            raise UsageError(f"Unknown case {pattern!r}. {did_you_mean(pattern, cases, command)}")
    if not patterns:
        return [c for c in cases.values() if not c.bfloat16 or cpu_library.has_bfloat16()]
    return [c for c in cases.values() if any(fnmatchcase(c.name, p) for p in patterns)]


def require_native() -> None:
    """Raise `NativeError` with the reason if there are no native kernels."""
    reason = cpu_library.unavailable_reason()
    if reason is not None:
        raise NativeError(f"There are no native kernels to compare here: {reason}. See ganzoo doctor.")


def race(case: Case, rounds: int) -> Result:
    """Compare the results of all contestants with the reference's, then let them take turns for `rounds`.

    A peer that is missing, fails or returns a different result is left out with the reason. Raises `NativeError` if
    there are no native kernels, and GanzooError if their result is wrong.
    """
    require_native()
    if case.bfloat16 and not cpu_library.has_bfloat16():
        raise NativeError(f"{case.name} is for processors with products of bfloat16, and this one has none.")
    torch.compiler.reset()  # torch.compile silently stops compiling at the ninth network
    builders = case.builders()
    calls = {REFERENCE: builders[REFERENCE]()}
    with OperationCounter() as counter:
        expected = calls[REFERENCE]()
    left_out: dict[str, str] = {}
    tolerance = BFLOAT16_TOLERANCE if case.bfloat16 else TOLERANCE
    for name in [name for name in builders if name != REFERENCE]:
        try:
            calls[name] = builders[name]()
            error = difference(calls[name](), expected)
        except (ImportError, RuntimeError) as failure:
            if name == NATIVE:
                raise
            calls.pop(name, None)
            left_out[name] = _reason(failure)
            continue
        if error > tolerance:
            message = f"its result is {error:.1e} (relative) from that of {REFERENCE}, more than {tolerance:.0e}"
            if name == NATIVE:
                raise GanzooError(f"{case.name}: {name}: {message}.")
            del calls[name]
            left_out[name] = message

    start = time.perf_counter()
    calls[NATIVE]()
    per_turn = math.ceil(min(50.0, TURN_SECONDS / (time.perf_counter() - start)))
    operations = cpu_library.fma_operations(PEAK_ROUNDS)
    turns = gauged_turns(calls, lambda: cpu_library.fma_operations(PEAK_ROUNDS), rounds, per_turn, case.conditions)
    seconds = {name: statistics.median(turns.times[name]) for name in builders if name in turns.times}
    peak = operations / turns.gauge
    return Result(case, counter.total, peak, seconds, turns, left_out)


class OperationCounter(TorchDispatchMode):
    """Counts floating-point operations by PyTorch's formulas; a multiply-add is two.

    `FlopCounterMode` also assigns them to modules, by hooks that do not allow `torch.autograd.grad` of a leaf, which
    gradient penalties need.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0.0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=out)
        return out


def difference(actual: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest relative difference between corresponding tensors, in the Euclidean norm; inf if shapes differ."""
    if [t.shape for t in actual] != [t.shape for t in expected]:
        return math.inf
    return max(_relative(a.double(), b.double()) for a, b in zip(actual, expected))


def _relative(a: Tensor, b: Tensor) -> float:
    error = float((a - b).norm() / b.norm())
    return error if math.isfinite(error) else math.inf


def _reason(failure: Exception) -> str:
    if isinstance(failure, ModuleNotFoundError):
        return f"{failure.name} is not installed: pip install 'ganzoo-core[bench]'"
    lines = [line for line in str(failure).splitlines() if line.strip()]
    return f"{type(failure).__name__}: {lines[0] if lines else 'no message'}"


def _noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(SEED))

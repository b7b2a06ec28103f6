"""Where `auto` should use the native kernels on this machine: random shapes on both sides of its thresholds.

    python -m benchmarks.thresholds                                  # all operations, 5 to 10 minutes
    python -m benchmarks.thresholds --instructions avx2 --only same  # one operation, both sides limited to AVX2

One thread's processor time, kernels and PyTorch in channels_last in turns, medians: inference, and forward with the
gradients of input and weight. A shape is "slower" if `auto` uses kernels that take at least 5% more time, and "missed"
if it leaves to PyTorch what kernels would do in at least 10% less.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

LIMITS = {
    "avx512": {},
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "generic": {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
}
"""What limits PyTorch to an instruction set."""
SLOWER, MISSED = 0.95, 1.1
ROUNDS, TURN = 5, 2e-3
"""Turns of each contestant, and the seconds that one should take at least."""


class Call(NamedTuple):
    """An operation with its tensors, as a function of the backend."""

    shape: str
    run: Callable[[str], Any]
    inputs: list[Any]
    """The tensors whose gradients are computed."""


def main() -> None:
    """Measure, print every shape, and a summary of each operation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", choices=LIMITS, help="limit both sides to these")
    parser.add_argument("--only", nargs="*", choices=OPERATIONS, default=list(OPERATIONS))
    parser.add_argument("--shapes", type=int, default=24, help="of each operation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    arguments = parser.parse_args()
    wanted = LIMITS.get(arguments.instructions, {})
    if any(os.environ.get(name) != value for name, value in wanted.items()):  # PyTorch reads them when it is imported
        sys.exit(subprocess.run([sys.executable, *sys.orig_argv[1:]], env=os.environ | wanted, check=False).returncode)

    import torch

    from ganzoo.ops import cpu_library

    cpu_library.choose_instruction_set(arguments.instructions)
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    print(f"{cpu_library.instruction_set()}, PyTorch with {torch.backends.cpu.get_cpu_capability()}")
    rows = []
    for name in arguments.only:
        torch.manual_seed(arguments.seed)
        rng = random.Random(arguments.seed)
        of_this = [row for _ in range(arguments.shapes) for row in measure(name, OPERATIONS[name](rng))]
        summarise(name, of_this)
        rows += of_this
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=0))


def measure(name: str, call: Call) -> Iterator[dict[str, Any]]:
    """The times of an operation in inference and with gradients."""
    import torch

    def infer(backend: str) -> None:
        with torch.inference_mode(False), torch.no_grad():
            call.run(backend)

    def train(backend: str) -> None:
        out = call.run(backend)
        torch.autograd.grad(out, call.inputs, torch.ones_like(out))

    for mode, step in (("inference", infer), ("training", train)):
        native = uses_kernels(step)
        times = race({backend: functools.partial(step, backend) for backend in ("native", "reference")})
        ratio = times["reference"] / times["native"]
        verdict = "slower" if native and ratio < SLOWER else "missed" if not native and ratio > MISSED else ""
        print(
            f"{name:16} {mode:9} {call.shape:44} {times['native'] * 1e3:8.3f} ms {times['reference'] * 1e3:8.3f}"
            f"  {ratio:5.2f}  {'native' if native else 'PyTorch':7} {verdict}",
            flush=True,
        )
        yield {"operation": name, "mode": mode, "shape": call.shape, "auto": native, "ratio": ratio, **times}


def uses_kernels(step: Callable[[str], None]) -> bool:
    """Whether `auto` computes this natively."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        seen = False

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.seen |= func.namespace == "ganzoo"
            return func(*args, **(kwargs or {}))

    with Watch() as watch:
        step("auto")
    return watch.seen


def race(contestants: dict[str, Callable[[], None]]) -> dict[str, float]:
    """The median processor seconds of a call of each, in turns."""
    for call in contestants.values():
        call()
    calls = {name: max(1, math.ceil(TURN / max(seconds(call, 1), 1e-6))) for name, call in contestants.items()}
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, call in contestants.items():
            call()
            times[name].append(seconds(call, calls[name]))
    return {name: median(values) for name, values in times.items()}


def seconds(call: Callable[[], None], calls: int) -> float:
    """Processor seconds of a call."""
    start = time.process_time()
    for _ in range(calls):
        call()
    return (time.process_time() - start) / calls


def summarise(name: str, rows: list[dict[str, Any]]) -> None:
    """Print how often `auto` chose well, and the time it leaves on the table: against the better of the two."""
    for mode in ("inference", "training"):
        of_mode = [row for row in rows if row["mode"] == mode]
        chosen = [row["native"] if row["auto"] else row["reference"] for row in of_mode]
        best = [min(row["native"], row["reference"]) for row in of_mode]
        taken = [row["ratio"] for row in of_mode if row["auto"]]
        slower = sum(row["auto"] and row["ratio"] < SLOWER for row in of_mode)
        missed = sum(not row["auto"] and row["ratio"] > MISSED for row in of_mode)
        loss = math.exp(sum(math.log(c / b) for c, b in zip(chosen, best)) / len(best))
        print(
            f"== {name} {mode}: {len(taken)} of {len(of_mode)} native"
            + (f", ratio {min(taken):.2f} to {max(taken):.2f}, median {median(taken):.2f}" if taken else "")
            + f"; {slower} slower, {missed} missed, {100 * (loss - 1):.1f}% above the better of the two",
            flush=True,
        )


def image(n: int, c: int, h: int, w: int) -> Any:
    """A random channels_last image."""
    import torch

    return torch.randn(n, h, w, c).permute(0, 3, 1, 2).requires_grad_()  # also with one channel, or one pixel


def four_by_four(rng: random.Random, up: bool, batch_norm: bool = True, bfloat16: bool = False) -> Call:
    """A (transposed) 4x4 convolution with stride 2."""
    import torch

    from ganzoo import ops

    while True:
        n, size = rng.choice([1, 2, 4, 8, 16, 32, 64]), rng.choice([2, 3, 4, 6, 7, 8, 14, 16, 32])
        cin, cout = (rng.choice([8, 16, 24, 32, 48, 64, 96, 128, 256, 512]) for _ in range(2))
        work = 16 * n * cin * cout * size**2
        if 1 << 19 <= work < 1 << 28:
            break
    x = image(n, cin, *((size, size) if up else (2 * size, 2 * size)))
    weight = image(*((cin, cout) if up else (cout, cin)), 4, 4)
    channel = [torch.ones(cout), torch.zeros(cout), torch.zeros(cout), torch.ones(cout)]

    def run(backend: str) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            if not batch_norm:
                return ops.conv_leaky_relu(x, weight, channel[1], backend=backend)
            settings: dict[str, Any] = {"training": torch.is_grad_enabled(), "momentum": 0.1, "eps": 1e-5}
            if up:
                return ops.conv_transpose_bn_relu(x, weight, *channel, stride=2, padding=1, backend=backend, **settings)
            return ops.conv_bn_leaky_relu(x, weight, *channel, backend=backend, **settings)

    return Call(f"{n} x {cin} -> {cout} at {size} x {size}", run, [x, weight])


def few_channels(rng: random.Random, up: bool) -> Call:
    """A (transposed) 4x4 convolution with stride 2, and few channels on the big side."""
    import torch

    from ganzoo import ops

    while True:
        n, size = rng.choice([1, 2, 4, 8, 16, 32, 64]), rng.choice([2, 4, 7, 8, 14, 16, 32])
        few, many = rng.choice([1, 2, 3, 4]), rng.choice([8, 16, 24, 32, 48, 64, 96, 128, 256])
        if 1 << 14 <= 16 * n * few * many * size**2 < 1 << 29:
            break
    x = image(n, many if up else few, *((size, size) if up else (2 * size, 2 * size)))
    weight = image(many, few, 4, 4)
    bias = torch.zeros(few if up else many)

    def run(backend: str) -> Any:
        if up:
            return ops.conv_transpose_tanh(x, weight, bias, backend=backend)
        return ops.conv_leaky_relu(x, weight, bias, backend=backend)

    return Call(f"{n} x {x.shape[1]} -> {len(bias)} at {size} x {size}", run, [x, weight])


def one_pixel(rng: random.Random) -> Call:
    """A transposed convolution of one pixel."""
    import torch

    from ganzoo import ops

    n, kernel = rng.choice([2, 4, 8, 16, 32, 64, 128]), rng.choice([4, 7])
    cin, cout = rng.choice([16, 32, 64, 100, 128]), rng.choice([32, 64, 128, 256, 512])
    x, weight = image(n, cin, 1, 1), image(cin, cout, kernel, kernel)
    channel = [torch.ones(cout), torch.zeros(cout), torch.zeros(cout), torch.ones(cout)]

    def run(backend: str) -> Any:
        return ops.conv_transpose_bn_relu(
            x, weight, *channel, stride=1, padding=0, training=torch.is_grad_enabled(), momentum=0.1, eps=1e-5,
            backend=backend,
        )  # fmt: skip

    return Call(f"{n} x {cin} -> {cout}, {kernel} x {kernel}", run, [x, weight])


def three_by_three(rng: random.Random, few: bool = False, grouped: bool = False) -> Call:
    """A 3x3 convolution, with few channels on one side, or in groups."""
    import torch

    from ganzoo import ops

    while True:
        n, h, w = rng.choice([1, 2, 4, 8, 16, 32, 64]), rng.choice(SIZES), rng.choice(SIZES)
        cin, cout = (rng.choice([8, 16, 24, 32, 48, 64, 96, 128, 256, 512]) for _ in range(2))
        if few:
            cin, cout = rng.choice([(rng.choice([1, 3, 4]), cout), (cin, rng.choice([1, 3, 4]))])
        groups = rng.choice([2, 4, 8, 16]) if grouped else 1
        work = 9 * n * groups * cin * cout * h * w
        if 1 << (16 if few else 19) <= work < 1 << 28 and groups * max(cin, cout) <= 1024:
            break
    x, weight, bias = image(n, groups * cin, h, w), image(groups * cout, cin, 3, 3), torch.zeros(groups * cout)
    shape = f"{n} x {groups if grouped else ''}{'*' if grouped else ''}{cin} -> {cout} at {h} x {w}"
    return Call(
        shape, lambda backend: ops.conv3x3(x, weight, bias, slope=0.2, groups=groups, backend=backend), [x, weight]
    )


SIZES = [2, 3, 4, 5, 6, 7, 8, 12, 14, 16, 28, 32, 64]


def one_by_one(rng: random.Random) -> Call:
    """A 1x1 convolution with activations before and after."""
    import torch

    from ganzoo import ops

    while True:
        n, size = rng.choice([1, 2, 4, 8, 16, 32, 64]), rng.choice([2, 4, 7, 8, 16, 32, 64])
        cin, cout = (rng.choice([4, 8, 16, 24, 32, 48, 64, 128, 256, 512]) for _ in range(2))
        if 1 << 14 <= n * cin * cout * size**2 < 1 << 28:
            break
    x, weight, bias = image(n, cin, size, size), image(cout, cin, 1, 1), torch.zeros(cout)
    return Call(
        f"{n} x {cin} -> {cout} at {size} x {size}",
        lambda backend: ops.conv1x1(x, weight, bias, input_slope=0.2, slope=0.2, backend=backend),
        [x, weight],
    )


def resampled(rng: random.Random, up: bool) -> Call:
    """A 3x3 convolution after upsampling or before pooling."""
    import torch

    from ganzoo import ops

    while True:
        n, size = rng.choice([1, 2, 4, 8, 16, 32, 64]), rng.choice([2, 4, 7, 8, 16, 32])
        cin, cout = (rng.choice([3, 8, 16, 24, 32, 48, 64, 128, 256, 512]) for _ in range(2))
        if 1 << 19 <= 16 * n * cin * cout * size**2 < 1 << 28 and (cin > 4 if up else cout > 4):
            break
    x = image(n, cin, *((size, size) if up else (2 * size, 2 * size)))
    weight, bias = image(cout, cin, 3, 3), torch.zeros(cout)
    function = ops.upsample_conv if up else ops.conv_downsample
    return Call(
        f"{n} x {cin} -> {cout} at {size} x {size}",
        lambda backend: function(x, weight, bias, backend=backend),
        [x, weight],
    )


def norm(rng: random.Random, by_image: bool = False) -> Call:
    """Batch norm with a ReLU; scale and shift are those of each channel, or of each image and channel."""
    import torch

    from ganzoo import ops

    while True:
        n, size = rng.choice([1, 4, 8, 16, 32, 64]), rng.choice([2, 4, 8, 16, 32])
        c = rng.choice([8, 16, 32, 64, 128, 256, 512])
        if 1 << 10 <= n * c * size**2 < 1 << 22:
            break
    shape = (n, c) if by_image else (c,)
    x, gamma, beta = image(n, c, size, size), torch.ones(shape, requires_grad=True), torch.zeros(shape)

    def run(backend: str) -> Any:
        return ops.batch_norm_leaky_relu(
            x, gamma, beta, torch.zeros(c), torch.ones(c), training=torch.is_grad_enabled(), momentum=0.1, eps=1e-5,
            backend=backend,
        )  # fmt: skip

    return Call(f"{n} x {c} at {size} x {size}", run, [x, gamma])


def signals(rng: random.Random, up: bool) -> Call:
    """A (transposed) convolution of 25 samples with stride 4."""
    import torch

    from ganzoo import ops

    while True:
        n, length = rng.choice([1, 2, 4, 8, 16, 32, 64]), rng.choice([4, 16, 32, 64, 256, 1024])
        short, long = rng.choice([8, 16, 32, 64, 128, 256]), rng.choice([1, 8, 16, 32, 64, 128])
        if 1 << 14 <= 25 * n * short * long * length < 1 << 28:
            break
    x = torch.randn(n, length if up else 4 * length, short if up else long).transpose(1, 2).requires_grad_()
    weight = torch.randn(short, long, 25, requires_grad=True)

    def run(backend: str) -> Any:
        if up:
            return ops.conv_transpose1d(x, weight, stride=4, padding=11, output_padding=1, backend=backend)
        return ops.conv1d(x, weight, stride=4, padding=11, backend=backend)

    return Call(f"{n} x {x.shape[1]} -> {long if up else short}, {length} positions", run, [x, weight])


def fully_connected(rng: random.Random) -> Call:
    """A fully connected layer."""
    import torch

    from ganzoo import ops

    while True:
        n, cin, cout = rng.choice([1, 2, 4, 8, 16, 32, 64, 128, 256]), rng.choice(WIDTHS), rng.choice(WIDTHS)
        if 1 << 14 <= n * cin * cout < 1 << 28:
            break
    x, weight = torch.randn(n, cin, requires_grad=True), torch.randn(cout, cin, requires_grad=True)
    return Call(f"{n} x {cin} -> {cout}", lambda backend: ops.linear(x, weight, backend=backend), [x, weight])


WIDTHS = [1, 10, 32, 64, 100, 128, 256, 512, 784, 1024]

OPERATIONS: dict[str, Callable[[random.Random], Call]] = {
    "up": functools.partial(four_by_four, up=True),
    "down": functools.partial(four_by_four, up=False),
    "down-bias": functools.partial(four_by_four, up=False, batch_norm=False),
    "up-bf16": functools.partial(four_by_four, up=True, bfloat16=True),
    "down-bf16": functools.partial(four_by_four, up=False, bfloat16=True),
    "up-few": functools.partial(few_channels, up=True),
    "down-few": functools.partial(few_channels, up=False),
    "one-pixel": one_pixel,
    "same": three_by_three,
    "same-few": functools.partial(three_by_three, few=True),
    "grouped": functools.partial(three_by_three, grouped=True),
    "1x1": one_by_one,
    "upsample": functools.partial(resampled, up=True),
    "downsample": functools.partial(resampled, up=False),
    "norm": norm,
    "norm-by-image": functools.partial(norm, by_image=True),
    "signal-up": functools.partial(signals, up=True),
    "signal-down": functools.partial(signals, up=False),
    "linear": fully_connected,
}

if __name__ == "__main__":
    main()

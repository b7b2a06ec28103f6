"""Calls of the operations of `ganzoo.ops` with random shapes, on both sides of the thresholds of `auto`."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from ganzoo import ops


class Call(NamedTuple):
    """An operation with its tensors, as a function of the backend."""

    shape: str
    run: Callable[[str], Any]
    inputs: list[Any]
    """The tensors whose gradients are computed."""


def image(n: int, c: int, h: int, w: int) -> Any:
    """A random channels_last image."""
    return torch.randn(n, h, w, c).permute(0, 3, 1, 2).requires_grad_()  # also with one channel, or one pixel


def four_by_four(rng: random.Random, up: bool, batch_norm: bool = True, bfloat16: bool = False) -> Call:
    """A (transposed) 4x4 convolution with stride 2."""
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

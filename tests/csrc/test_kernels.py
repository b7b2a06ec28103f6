"""The kernels of csrc/cpu alone, on NumPy arrays of random shapes, against float64 and bounds on the rounding error.

A float32 sum of n products differs from the exact one by at most n u times the sum of the products' magnitudes (Higham,
Accuracy and Stability, section 3.1), in whatever order it is computed; u = 2^-24. The direct kernels are held to that
for each element.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

Array = NDArray[Any]
Check = Callable[..., None]

UNIT = 2.0**-24
LAYOUTS = ("contiguous", "reversed axes", "every second", "backwards", "broadcast")
QUICK, MANY = 100, 1000  # hypothesis varies its own examples: fewer than 100 cover few combinations


def fuzzed(**strategies: st.SearchStrategy[Any]) -> Callable[[Check], Check]:
    """Call a check with random arguments, for each instruction set: a few examples, or many under the slow marker."""

    def decorate(check: Check) -> Check:
        @pytest.mark.parametrize("examples", [QUICK, pytest.param(MANY, marks=pytest.mark.slow)])
        def test(kernels: ModuleType, examples: int) -> None:
            @settings(max_examples=examples)
            @given(**strategies)
            def run(**arguments: Any) -> None:
                check(kernels, **arguments)

            run()

        return test

    return decorate


def sizes(most: int) -> st.SearchStrategy[int]:
    return st.integers(1, most)


def channels(most: int) -> st.SearchStrategy[int]:
    """Numbers of channels, often next to a multiple of a vector or a block."""
    edges = [size + step for size in (4, 8, 16, 32, 64, 96, 128) for step in (-1, 0, 1) if size + step <= most]
    return st.one_of(sizes(most), st.sampled_from(edges))


SEEDS = st.integers(0, 2**32 - 1)
SLOPES = st.sampled_from([0.0, 0.25, 1.0])  # exact in float32


def normal(rng: np.random.Generator, *shape: int) -> Array:
    return rng.standard_normal(shape, dtype=np.float32)


def laid_out(array: Array, layout: str) -> Array:
    """The same shape in another memory layout; the values of `array` unless the layout repeats some."""
    if layout == "reversed axes":
        return np.ascontiguousarray(array.T).T
    if layout == "every second":
        return np.repeat(array, 2, axis=-1)[..., ::2]
    if layout == "backwards":
        return np.ascontiguousarray(array[::-1])[::-1]
    if layout == "broadcast":
        return np.broadcast_to(array[:1], array.shape)
    return array


def strided(big: Array, weight: Array) -> Array:
    """Conv2d with a 4 x 4 kernel, stride 2 and padding 1, of NHWC images in float64; weight is (out, in, 4, 4)."""
    n, height, width, _ = big.shape
    h, w = height // 2, width // 2
    padded = np.pad(big.astype(np.float64), ((0, 0), (1, 2), (1, 2), (0, 0)))
    out = np.zeros((n, h, w, weight.shape[0]))
    for i in range(4):
        for j in range(4):
            out += padded[:, i : i + 2 * h : 2, j : j + 2 * w : 2] @ weight[:, :, i, j].T.astype(np.float64)
    return out


def transposed(small: Array, weight: Array, height: int, width: int) -> Array:
    """ConvTranspose2d, the adjoint of `strided`, to height x width; weight is (in, out, 4, 4)."""
    n, h, w, _ = small.shape
    padded = np.zeros((n, height + 3, width + 3, weight.shape[1]))
    for i in range(4):
        for j in range(4):
            products = small.astype(np.float64) @ weight[:, :, i, j].astype(np.float64)
            padded[:, i : i + 2 * h : 2, j : j + 2 * w : 2] += products
    return padded[:, 1 : 1 + height, 1 : 1 + width]


def weight_gradient(small: Array, big: Array) -> Array:
    """The gradient of both convolutions with respect to the weight, (small channels, 4, 4, big channels)."""
    _, h, w, cs = small.shape
    padded = np.pad(big.astype(np.float64), ((0, 0), (1, 2), (1, 2), (0, 0)))
    out = np.zeros((cs, 4, 4, big.shape[3]))
    for i in range(4):
        for j in range(4):
            window = padded[:, i : i + 2 * h : 2, j : j + 2 * w : 2]
            out[:, i, j] = np.tensordot(small.astype(np.float64), window, axes=([0, 1, 2], [0, 1, 2]))
    return out


def activate(values: Array, slope: float) -> Array:
    return np.where(values > 0, values, slope * values)


def within(actual: Array, exact: Array, bound: Array | float) -> None:
    """Fail unless |actual - exact| <= bound for every element, and no element is NaN."""
    assert actual.shape == exact.shape
    excess = np.abs(actual - exact) - np.broadcast_to(bound, exact.shape)
    if not (excess <= 0).all():
        worst = np.unravel_index(np.argmax(np.where(np.isnan(excess), np.inf, excess)), exact.shape)
        limit = np.broadcast_to(bound, exact.shape)[worst]
        pytest.fail(f"element {worst}: {actual[worst]!r}, expected {exact[worst]!r} within {limit:.3g}")


def same_bits(one: Any, other: Any) -> None:
    for a, b in zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]:
        assert a.tobytes() == b.tobytes(), "the result depends on the number of threads"


IMAGES = {
    "n": sizes(5),
    "h": sizes(7),
    "w": sizes(7),
    "cs": channels(70),
    "cb": channels(70),
    "odd": st.tuples(st.integers(0, 1), st.integers(0, 1)),
    "seed": SEEDS,
    "threads": st.integers(2, 4),
}


@fuzzed(**IMAGES, up=st.booleans(), layout=st.sampled_from(LAYOUTS), winograd=st.booleans(), slope=SLOPES,
        statistics=st.booleans())  # fmt: skip
def test_convolution(
    kernels: ModuleType, n: int, h: int, w: int, cs: int, cb: int, odd: tuple[int, int], seed: int, threads: int,
    up: bool, layout: str, winograd: bool, slope: float, statistics: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    height, width = 2 * h + odd[0], 2 * w + odd[1]
    weight = laid_out(normal(rng, cs, cb, 4, 4), layout)
    x = normal(rng, n, h, w, cs) if up else normal(rng, n, height, width, cb)
    cout = cb if up else cs
    scale, shift = (normal(rng, cout) if rng.integers(2) else None for _ in range(2))
    if statistics:  # they are those of the sums alone
        scale, shift, slope = None, None, 1.0

    def convolve(x: Array, weight: Array) -> Array:
        return transposed(x, weight, height, width) if up else strided(x, weight)

    def call(threads: int) -> Any:
        return kernels.convolve(x, weight, up, winograd, scale, shift, slope, statistics, height, width, threads)

    out, mean, var = results = call(1)
    same_bits(results, call(threads))

    factor = 1.0 if scale is None else scale.astype(np.float64)
    offset = 0.0 if shift is None else shift.astype(np.float64)
    exact = activate(convolve(x, weight) * factor + offset, slope)
    magnitude = convolve(np.abs(x), np.abs(weight))
    if winograd:  # the transforms mix the values of a tile, so the bound is that of the largest sum
        error = WINOGRAD * UNIT * magnitude.max() * np.abs(factor)
    else:
        error = ((4 if up else 16) * (cs if up else cb)) * UNIT * magnitude * np.abs(factor)
    rounding = 4 * UNIT * (magnitude * np.abs(factor) + np.abs(offset))
    within(out, exact, error + rounding)
    if statistics:
        check_moments(mean, var, out.reshape(-1, cout))


WINOGRAD = 64.0  # units of rounding, of the largest sum of magnitudes


def check_moments(mean: Array, var: Array, values: Array) -> None:
    """Mean and variance are those of the float32 `values`, [pixels, channels], which may be merged in any way."""
    exact = values.astype(np.float64)
    error = 300 * UNIT * np.abs(exact).mean(0)  # no sum in single precision has more than 256 terms
    within(mean, exact.mean(0), error)
    within(var, exact.var(0), 600 * UNIT * exact.var(0) + error**2 + 2 * error * exact.std(0))


@fuzzed(**IMAGES, winograd=st.booleans())
def test_weight_gradient(
    kernels: ModuleType, n: int, h: int, w: int, cs: int, cb: int, odd: tuple[int, int], seed: int, threads: int,
    winograd: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    small, big = normal(rng, n, h, w, cs), normal(rng, n, 2 * h + odd[0], 2 * w + odd[1], cb)
    result = kernels.weight_gradient(small, big, winograd)
    same_bits(result, kernels.weight_gradient(small, big, winograd, threads))
    magnitude = weight_gradient(np.abs(small), np.abs(big))
    error = WINOGRAD * magnitude.max() if winograd else n * h * w * magnitude
    within(result, weight_gradient(small, big), UNIT * error)


def stride1(x: Array, weight: Array, padding: int) -> Array:
    """Conv2d with stride 1 of NHWC images in float64; weight is (out, in, kernel, kernel)."""
    kernel = weight.shape[2]
    padded = np.pad(x.astype(np.float64), ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    h, w = (length - kernel + 1 for length in padded.shape[1:3])
    taps = ((i, j) for i in range(kernel) for j in range(kernel))
    return sum(padded[:, i : i + h, j : j + w] @ weight[:, :, i, j].T.astype(np.float64) for i, j in taps)


@fuzzed(kernel=st.sampled_from([3, 4]), n=sizes(5), h=st.integers(2, 9), w=st.integers(2, 9), cin=channels(70),
        cout=channels(70), reverse=st.booleans(), layout=st.sampled_from(LAYOUTS), slope=SLOPES,
        statistics=st.booleans(), seed=SEEDS, threads=st.integers(2, 4))  # fmt: skip
def test_convolution_of_stride_1(
    kernels: ModuleType, kernel: int, n: int, h: int, w: int, cin: int, cout: int, reverse: bool, layout: str,
    slope: float, statistics: bool, seed: int, threads: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    x = normal(rng, n, h, w, cin)
    weight = laid_out(normal(rng, *((cin, cout) if reverse else (cout, cin)), kernel, kernel), layout)
    padding = kernel - 2 if reverse else 1  # an input gradient convolves with what is left of kernel - 1
    size = [length + 2 * padding - kernel + 1 for length in (h, w)]
    scale, shift, residual = (
        normal(rng, *shape) if rng.integers(2) else None for shape in ((cout,), (cout,), (n, *size, cout))
    )
    if statistics:
        scale, shift, residual, slope = None, None, None, 1.0

    def call(threads: int) -> Any:
        return kernels.convolve_stride1(x, weight, padding, reverse, scale, shift, residual, slope, statistics, threads)

    out, mean, var = results = call(1)
    same_bits(results, call(threads))
    taps = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3) if reverse else weight
    factor = 1.0 if scale is None else scale.astype(np.float64)
    offset = 0.0 if shift is None else shift.astype(np.float64)
    offset = offset + (0.0 if residual is None else residual.astype(np.float64))
    magnitude = stride1(np.abs(x), np.abs(taps), padding)
    bound = WINOGRAD * UNIT * magnitude.max() * np.abs(factor) + 4 * UNIT * (
        magnitude * np.abs(factor) + np.abs(offset)
    )
    within(out, activate(stride1(x, taps, padding) * factor + offset, slope), bound)
    if statistics:
        check_moments(mean, var, out.reshape(-1, cout))


@fuzzed(kernel=st.sampled_from([3, 4]), n=sizes(5), h=st.integers(2, 9), w=st.integers(2, 9), cin=channels(70),
        cout=channels(130), seed=SEEDS, threads=st.integers(2, 4))  # fmt: skip
def test_weight_gradient_of_stride_1(
    kernels: ModuleType, kernel: int, n: int, h: int, w: int, cin: int, cout: int, seed: int, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    out_h, out_w = h + 3 - kernel, w + 3 - kernel
    x, grad = normal(rng, n, h, w, cin), normal(rng, n, out_h, out_w, cout)

    def exact(x: Array, grad: Array) -> Array:
        padded = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
        sums = [
            np.tensordot(grad.astype(np.float64), padded[:, i : i + out_h, j : j + out_w], axes=([0, 1, 2], [0, 1, 2]))
            for i in range(kernel)
            for j in range(kernel)
        ]
        return np.stack(sums, axis=1).reshape(cout, kernel, kernel, cin)

    result = kernels.weight_gradient_stride1(x, grad, kernel, 1)
    same_bits(result, kernels.weight_gradient_stride1(x, grad, kernel, 1, threads))
    within(result, exact(x, grad), WINOGRAD * UNIT * exact(np.abs(x), np.abs(grad)).max())


@fuzzed(cs=channels(130), cb=channels(130), up=st.booleans(), layout=st.sampled_from(LAYOUTS), seed=SEEDS,
        threads=st.integers(2, 4))  # fmt: skip
def test_packing(kernels: ModuleType, cs: int, cb: int, up: bool, layout: str, seed: int, threads: int) -> None:
    weight = laid_out(normal(np.random.default_rng(seed), cs, cb, 4, 4), layout)
    cin, cout = (cs, cb) if up else (cb, cs)
    packed = kernels.pack(weight, up, threads)
    blocks = -(-cout // 32)
    taps = [i * 4 + j for i in range(4) for j in range(4)]
    if up:  # phase by phase: each has two kernel rows and two kernel columns
        pairs = ((1, 3), (2, 0))
        taps = [i * 4 + j for rows in pairs for columns in pairs for i in rows for j in columns]
    outputs_last = weight.reshape(cs, cb, 16)[:, :, taps].transpose((2, 0, 1) if up else (2, 1, 0))
    expected = np.zeros((16, cin, 32 * blocks), np.float32)
    expected[:, :, :cout] = outputs_last
    expected = expected.reshape(16, cin, blocks, 32).transpose(2, 0, 1, 3)
    np.testing.assert_array_equal(packed.reshape(blocks, 16, cin, 32), expected)


FEW = {**IMAGES, "h": sizes(24), "w": sizes(24), "cs": channels(130), "cb": sizes(4), "tanh": st.booleans()}


@fuzzed(**FEW, up=st.booleans(), layout=st.sampled_from(LAYOUTS), backward=st.booleans())
def test_few_channels_convolution(
    kernels: ModuleType, n: int, h: int, w: int, cs: int, cb: int, odd: tuple[int, int], seed: int, threads: int,
    tanh: bool, up: bool, layout: str, backward: bool,
) -> None:  # fmt: skip
    assume(backward or up or not tanh)  # only the transposed convolution has tanh on its way out
    rng = np.random.default_rng(seed)
    height, width, slope = 2 * h + odd[0], 2 * w + odd[1], 0.25
    weight = laid_out(normal(rng, cs, cb, 4, 4), layout)
    x = normal(rng, n, h, w, cs) if up else normal(rng, n, height, width, cb)
    shift = normal(rng, cb if up else cs) if rng.integers(2) else None
    forward_out = np.tanh(normal(rng, *x.shape)) if backward else None

    def call(threads: int) -> Array:
        return kernels.few_channels_convolve(x, weight, up, shift, forward_out, tanh, slope, height, width, threads)

    def convolve(x: Array, weight: Array) -> Array:
        return transposed(x, weight, height, width) if up else strided(x, weight)

    result = call(1)
    same_bits(result, call(threads))
    inputs = x.astype(np.float64) * activation_gradient(forward_out, tanh, slope)
    exact = convolve(inputs, weight) + (0.0 if shift is None else shift)
    magnitude = convolve(np.abs(inputs), np.abs(weight)) + (0.0 if shift is None else np.abs(shift))
    if not backward:
        exact = np.tanh(exact) if tanh else activate(exact, slope)
    terms = (4 * cs if up else 16 * cb) + 8  # and the roundings of the shift, the slope and the derivative
    error = terms * magnitude + 8 * tanh
    if backward and tanh:  # 1 - out^2 cancels
        error += 2 * convolve(np.abs(x), np.abs(weight))
    within(result, exact, UNIT * error)


def activation_gradient(forward_out: Array | None, tanh: bool, slope: float) -> Array | float:
    """The derivative of the activation, from its output."""
    if forward_out is None:
        return 1.0
    out = forward_out.astype(np.float64)
    return 1 - out**2 if tanh else np.where(out > 0, 1.0, slope)


@fuzzed(**FEW, grad_is_big=st.booleans(), activated=st.booleans())
def test_few_channels_weight_gradient(
    kernels: ModuleType, n: int, h: int, w: int, cs: int, cb: int, odd: tuple[int, int], seed: int, threads: int,
    tanh: bool, grad_is_big: bool, activated: bool,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    small, big = normal(rng, n, h, w, cs), normal(rng, n, 2 * h + odd[0], 2 * w + odd[1], cb)
    grad = big if grad_is_big else small
    forward_out = np.tanh(normal(rng, *grad.shape)) if activated else None

    def call(threads: int) -> tuple[Array, Array]:
        return kernels.few_channels_weight_gradient(small, big, grad_is_big, forward_out, tanh, 0.25, threads)

    weight, shift = results = call(1)
    same_bits(results, call(threads))
    inner = grad.astype(np.float64) * activation_gradient(forward_out, tanh, 0.25)
    pair = (small, inner) if grad_is_big else (inner, big)
    pixels = inner.size // inner.shape[-1]
    error = (n * h * w + 8) * weight_gradient(*map(np.abs, pair))
    shift_error = (pixels + 8) * np.abs(inner).sum((0, 1, 2))
    if activated and tanh:  # 1 - out^2 cancels
        error += 2 * weight_gradient(np.abs(small), np.abs(big))
        shift_error += 2 * np.abs(grad).astype(np.float64).sum((0, 1, 2))
    within(weight, weight_gradient(*pair), UNIT * error)
    within(shift, inner.sum((0, 1, 2)), UNIT * shift_error)


@fuzzed(m=channels(130), n=channels(300), k=channels(200), a_layout=st.sampled_from(LAYOUTS),
        b_layout=st.sampled_from(LAYOUTS), seed=SEEDS, threads=st.integers(2, 4))  # fmt: skip
def test_gemm(
    kernels: ModuleType, m: int, n: int, k: int, a_layout: str, b_layout: str, seed: int, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    a, b = laid_out(normal(rng, m, k), a_layout), laid_out(normal(rng, k, n), b_layout)
    bias = normal(rng, n) if rng.integers(2) else None
    result = kernels.gemm(a, b, bias)
    same_bits(result, kernels.gemm(a, b, bias, threads))
    offset = np.zeros(n) if bias is None else bias.astype(np.float64)
    magnitude = np.abs(a).astype(np.float64) @ np.abs(b) + np.abs(offset)
    within(result, a.astype(np.float64) @ b + offset, UNIT * (k + 1) * magnitude)


def test_gemm_of_no_terms_is_the_bias(kernels: ModuleType) -> None:
    bias = np.arange(5, dtype=np.float32)
    result = kernels.gemm(np.empty((3, 0), np.float32), np.empty((0, 5), np.float32), bias)
    np.testing.assert_array_equal(result, np.broadcast_to(bias, (3, 5)))


@fuzzed(pixels=sizes(1500), c=channels(130), center=st.floats(-100, 100), seed=SEEDS, threads=st.integers(2, 4))
def test_channel_statistics(kernels: ModuleType, pixels: int, c: int, center: float, seed: int, threads: int) -> None:
    y = normal(np.random.default_rng(seed), pixels, c) + np.float32(center)
    mean, var = results = kernels.channel_statistics(y)
    same_bits(results, kernels.channel_statistics(y, threads))
    check_moments(mean, var, y)


@fuzzed(pixels=sizes(1500), c=channels(130), slope=SLOPES, seed=SEEDS, threads=st.integers(2, 4))
def test_batch_norm(kernels: ModuleType, pixels: int, c: int, slope: float, seed: int, threads: int) -> None:
    rng = np.random.default_rng(seed)
    y, grad = normal(rng, pixels, c), normal(rng, pixels, c)
    mean, var = y.mean(0), y.var(0) + np.float32(0.1)
    gamma, beta = (normal(rng, c) if rng.integers(2) else None for _ in range(2))
    eps = 1e-5
    rstd = 1 / np.sqrt(var.astype(np.float64) + eps)
    scale = rstd * (1.0 if gamma is None else gamma)
    offset = np.zeros(c) if beta is None else beta.astype(np.float64)
    deviation = y.astype(np.float64) - mean

    out = kernels.norm_act(y, mean, var, gamma, beta, eps, slope)
    same_bits(out, kernels.norm_act(y, mean, var, gamma, beta, eps, slope, threads))
    inner = deviation * scale + offset
    # scale * y + (beta - mean * scale): each term is rounded once or twice
    error = 4 * UNIT * ((np.abs(y) + np.abs(mean)) * np.abs(scale) + np.abs(offset))
    within(out, activate(inner, slope), error)

    grad[np.abs(inner) <= error] = 0  # which side of zero these are on depends on rounding
    arguments = (grad, y, mean, var, gamma, beta, eps, slope)
    dy, dgamma, dbeta = results = kernels.norm_act_backward(*arguments)
    same_bits(results, kernels.norm_act_backward(*arguments, threads))
    through = grad.astype(np.float64) * np.where(inner > 0, 1.0, slope)
    terms = 256 + 8  # pixels of a chunk, which are summed in single precision, and the roundings around them
    sums, products = through.sum(0), (through * deviation).sum(0)
    sum_error, product_error = (terms * UNIT * np.abs(v).sum(0) for v in (through, through * deviation))
    within(dbeta, sums, sum_error)
    within(dgamma, products * rstd, product_error * rstd)
    slopes = rstd**2 * np.abs(deviation) / pixels
    exact = scale * (through - sums / pixels - deviation * products * rstd**2 / pixels)
    size = np.abs(through) + np.abs(sums) / pixels + slopes * np.abs(products)
    within(dy, exact, np.abs(scale) * (sum_error / pixels + slopes * product_error + 8 * UNIT * size))


def test_empty_batch(kernels: ModuleType) -> None:
    small, big = np.empty((0, 3, 3, 20), np.float32), np.empty((0, 6, 6, 20), np.float32)
    assert not kernels.weight_gradient(small, big, False).any()
    for gradient in kernels.few_channels_weight_gradient(small, big[..., :3], True):
        assert not gradient.any()


@pytest.mark.parametrize(("shape", "faster"), [
    ((64, 8, 8, 128, 64), True), ((1, 16, 16, 16, 16), True), ((64, 8, 8, 128, 3), False), ((1, 4, 4, 512, 256), False)
])  # fmt: skip
def test_winograd_is_for_many_channels_and_pixels(module: ModuleType, shape: tuple[int, ...], faster: bool) -> None:
    assert module.winograd_is_faster(*shape) is faster


def test_an_unknown_instruction_set_changes_nothing(module: ModuleType) -> None:
    current = module.instruction_set()
    assert not module.select_instruction_set("avx1024")
    assert module.instruction_set() == current

"""Batch norm with its activation, also conditional: the operators, the function and the modules that use it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ganzoo import ops
from ganzoo.nn import ConditionalBatchNorm, VectorBatchNorm, norm_relu, synchronise
from ganzoo.ops import NativeError, batch_norm_leaky_relu, reference
from tests.ops.conftest import LAYOUTS, close, needs_native, random, shaken
from tests.ops.test_kernels import over_shapes

kernels = torch.ops.ganzoo
TRAINING: dict[str, Any] = {"training": True, "momentum": 0.3, "eps": 1e-3}


def exact(y: Tensor, gamma: Tensor | None, beta: Tensor | None, slope: float) -> Tensor:
    """The definition, with statistics written out: PyTorch's batch_norm has wrong third derivatives."""
    var, mean = torch.var_mean(y, (0, 2, 3), correction=0, keepdim=True)
    out = (y - mean) * torch.rsqrt(var + TRAINING["eps"])
    out = out if gamma is None else out * gamma[..., None, None]
    return F.leaky_relu(out if beta is None else out + beta[..., None, None], slope)


@over_shapes
@given(n=st.sampled_from([1, 2, 7]), c=st.integers(1, 40), h=st.integers(1, 20), w=st.integers(2, 20),
       by_image=st.booleans(), has=st.sampled_from(["both", "weight", "bias"]), slope=st.sampled_from([0.0, 0.2]),
       layout=st.sampled_from(LAYOUTS))  # fmt: skip
def test_operators_against_float64(
    instruction_set: str, n: int, c: int, h: int, w: int, by_image: bool, has: str, slope: float, layout: str
) -> None:
    rng = torch.Generator().manual_seed(n)
    y, grad = random(rng, n, c, h, w, layout=layout), random(rng, n, c, h, w, layout=layout)
    shape = (n, c) if by_image else (c,)
    gamma = random(rng, *shape) if has != "bias" else None
    beta = random(rng, *shape) if has != "weight" else None
    leaves = [y.double().requires_grad_(), *(t.double().requires_grad_() for t in (gamma, beta) if t is not None)]
    named = dict(zip(["y", *(["gamma"] if gamma is not None else []), *(["beta"] if beta is not None else [])], leaves))
    expected = exact(leaves[0], named.get("gamma"), named.get("beta"), slope)
    mean, var = kernels.channel_stats(y)
    arguments = (mean, var, gamma, beta, TRAINING["eps"], slope)
    close(kernels.batch_norm_act(y, *arguments), expected)
    grad = torch.where(expected.abs() < 1e-4, 0.0, grad)  # where rounding may change the sign
    gradients = dict(zip(("y", "gamma", "beta"), kernels.batch_norm_act_backward(grad, y, *arguments)))
    for name, correct in zip(named, torch.autograd.grad(expected, leaves, grad.double())):
        close(gradients[name], correct)
    assert gradients["gamma"].shape == gradients["beta"].shape == shape


@needs_native
@settings(deadline=None, max_examples=20)
@given(n=st.integers(2, 4), c=st.integers(1, 20), size=st.integers(1, 9), by_image=st.booleans(),
       training=st.booleans(), slope=st.sampled_from([0.0, 0.2]), layout=st.sampled_from(LAYOUTS))  # fmt: skip
def test_function_gradients_and_running_statistics_are_the_references(
    n: int, c: int, size: int, by_image: bool, training: bool, slope: float, layout: str
) -> None:
    rng = torch.Generator().manual_seed(n)
    shape = (n, c) if by_image else (c,)
    leaves = [random(rng, n, c, size, size, layout=layout), random(rng, *shape), random(rng, *shape)]
    running = [random(rng, c), random(rng, c).square() + 0.5]
    options = {"training": training, "momentum": 0.3, "eps": 1e-3, "slope": slope}
    results, statistics = [], []
    for backend, dtype in (("native", torch.float32), ("reference", torch.float64)):
        copies = [t.to(dtype).detach().requires_grad_(training) for t in leaves]
        buffers = [t.to(dtype).clone() for t in running]
        out = batch_norm_leaky_relu(*copies, *buffers, **options, backend=backend)
        results.append([out, *(torch.autograd.grad(out.square().sum(), copies) if training else ())])
        statistics.append(buffers)
    assert results[0][0].is_contiguous(memory_format=torch.channels_last) or layout != "channels_last"
    for actual, correct in zip([*results[0], *statistics[0]], [*results[1], *statistics[1]]):
        close(actual, correct)


@needs_native
@pytest.mark.parametrize("by_image", [True, False])
def test_second_derivatives_of_all_arguments(by_image: bool) -> None:
    shape = (3, 5) if by_image else (5,)

    def second(native: bool) -> list[Tensor]:
        rng = torch.Generator().manual_seed(0)
        leaves = [random(rng, *size).to(torch.float32 if native else torch.float64).requires_grad_()
                  for size in ((3, 5, 4, 6), shape, shape)]  # fmt: skip
        y = (
            batch_norm_leaky_relu(*leaves, None, None, slope=0.2, **TRAINING, backend="native")
            if native
            else exact(*leaves, 0.2)
        )
        first = torch.autograd.grad(y.pow(3).sum(), leaves, create_graph=True)
        return list(torch.autograd.grad(sum((g * g).sum() for g in first), leaves))

    for actual, expected in zip(second(True), second(False)):
        torch.testing.assert_close(actual.double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@needs_native
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("name", ["batch_norm_act", "batch_norm_act_backward"])
def test_opcheck(name: str, grad: bool) -> None:
    rng = torch.Generator().manual_seed(1)
    y, gamma, beta = (random(rng, *shape).requires_grad_(grad) for shape in ((2, 3, 5, 4), (2, 3), (2, 3)))
    mean, var = kernels.channel_stats(y.detach())
    arguments = (y, mean, var, gamma, beta, 1e-5, 0.2)
    if name == "batch_norm_act_backward":
        arguments = (random(rng, 2, 3, 5, 4), *(t.detach() if isinstance(t, Tensor) else t for t in arguments))
    torch.library.opcheck(getattr(kernels, name).default, arguments)


Y, M, V, S = torch.zeros(2, 3, 4, 5), torch.zeros(3), torch.ones(3), torch.ones(2, 3)
BAD: dict[str, tuple[Any, ...]] = {
    "images": (Y, M, V, S[:1], S[:1], 1e-5, 0.0),
    "channels": (Y, M, V, S[:, :2], S[:, :2], 1e-5, 0.0),
    "different shapes": (Y, M, V, S, V, 1e-5, 0.0),
    "three dimensions": (Y, M, V, S[..., None], None, 1e-5, 0.0),
    "dtype": (Y, M, V, S.double(), S.double(), 1e-5, 0.0),
    "statistics by image": (Y, S, S, None, None, 1e-5, 0.0),
    "empty": (Y[:0], M, V, S[:0], S[:0], 1e-5, 0.0),
}


@needs_native
@pytest.mark.parametrize("case", BAD)
def test_invalid_arguments_are_refused(case: str) -> None:
    with pytest.raises((RuntimeError, NotImplementedError)):
        kernels.batch_norm_act(*BAD[case])
    with pytest.raises((RuntimeError, NotImplementedError)):
        kernels.batch_norm_act_backward(BAD[case][0], *BAD[case])


@needs_native
def test_native_says_why_it_cannot() -> None:
    for why, arguments, training in (
        ("float32", (Y.double(), None, None, None, None), True),
        (r"images \[N, C, H, W\]", (Y[0], None, None, None, None), True),
        ("nothing to compute", (Y[:0], None, None, None, None), True),
        ("other images or channels", (Y, S[:1], S[:1], None, None), True),
        ("other images or channels", (Y, S, V, None, None), True),
        ("another number of channels", (Y, None, None, M[:2], V[:2]), True),
        ("come together", (Y, None, None, M, None), True),
        ("there must be running statistics", (Y, None, None, None, None), False),
        ("no derivative", (Y, S.clone().requires_grad_(), S, M, V), False),
        ("one value per channel", (Y[:1, :, :1, :1], None, None, None, None), True),
    ):
        with pytest.raises(NativeError, match=why):
            batch_norm_leaky_relu(*arguments, training=training, momentum=0.1, eps=1e-5, backend="native")


NORMS = {
    "batch norm": (lambda: nn.BatchNorm2d(16), None),
    "conditional": (lambda: ConditionalBatchNorm(16, 5), torch.tensor([0, 3, 3, 1])),
    "vector": (lambda: VectorBatchNorm(16, 6), torch.randn(4, 6, generator=torch.Generator().manual_seed(0))),
}
every_norm = pytest.mark.parametrize("kind", NORMS)


@needs_native
@every_norm
@pytest.mark.parametrize("training", [True, False])
def test_auto_computes_norms_natively_and_like_their_modules(
    kind: str, training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, condition = NORMS[kind]
    norm, plain = (shaken(make(), 1).train(training) for _ in range(2))
    x = random(torch.Generator().manual_seed(0), 4, 16, 96, 96, layout="channels_last")
    given = () if condition is None else (condition,)
    expected = F.relu(plain(x, *given))
    calls: list[bool] = []
    monkeypatch.setattr("ganzoo.ops.batch_norm.reference", calls)  # has no functions: any call of one would raise
    with torch.set_grad_enabled(training):
        out = norm_relu(norm, x, *given)
    torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)
    for name, tensor in plain.state_dict().items():
        torch.testing.assert_close(norm.state_dict()[name], tensor, msg=name)


@every_norm
def test_hooks_and_replaced_norms_are_respected(kind: str) -> None:
    make, condition = NORMS[kind]
    norm = shaken(make(), 1)
    given = () if condition is None else (condition,)
    x = random(torch.Generator().manual_seed(0), 4, 16, 96, 96, layout="channels_last")
    seen: list[Any] = []
    with (norm if kind == "batch norm" else norm.norm).register_forward_hook(lambda *_: seen.append(1)):
        hooked = norm_relu(norm, x, *given)
    assert seen
    parent = nn.Sequential(norm)
    synchronise(parent)
    torch.testing.assert_close(norm_relu(parent[0], x, *given), hooked, rtol=1e-4, atol=1e-5)


@needs_native
def test_compiles_without_a_graph_break() -> None:
    norm = shaken(ConditionalBatchNorm(16, 5), 1)
    x = random(torch.Generator().manual_seed(0), 4, 16, 32, 32, layout="channels_last").requires_grad_()
    labels = torch.tensor([0, 3, 3, 1])
    compiled = torch.compile(norm_relu, fullgraph=True, backend="aot_eager")
    results = [torch.autograd.grad(f(norm, x, labels).square().sum(), [x, norm.embed.weight])
               for f in (norm_relu, compiled)]  # fmt: skip
    for actual, expected in zip(*results):
        torch.testing.assert_close(actual, expected)


@needs_native
def test_threads_do_not_change_a_bit() -> None:
    rng = torch.Generator().manual_seed(0)
    y, grad, gamma = random(rng, 9, 70, 19, 17), random(rng, 9, 70, 19, 17), random(rng, 9, 70)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            arguments = (*kernels.channel_stats(y), gamma, gamma, 1e-5, 0.2)
            out = kernels.batch_norm_act(y, *arguments)
            results.append([out, *kernels.batch_norm_act_backward(grad, y, *arguments)])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


@needs_native
@pytest.mark.parametrize("magnitude", [1e18, 1e20, 1e30])
def test_a_variance_that_overflows_is_infinite_and_the_result_0_as_in_pytorch(magnitude: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x = random(rng, 8, 64, 8, 8, layout="channels_last") * magnitude
    weight3, weight4 = random(rng, 64, 64, 3, 3), random(rng, 64, 64, 4, 4)
    for statistics in (
        kernels.channel_stats(x),
        kernels.conv_stride1_stats(x, weight3)[1:],
        kernels.conv4x4s2_stats(x, weight4)[1:],
        kernels.conv_transpose4x4s2_stats(x, weight4, 16, 16)[1:],
    ):
        assert not any(t.isnan().any() for t in statistics)
        assert magnitude < 1e20 or statistics[1].isinf().all()
    out = batch_norm_leaky_relu(x, None, None, None, None, slope=1.0, **TRAINING, backend="native")
    if magnitude >= 1e20:
        assert torch.equal(out, F.batch_norm(x, None, None, training=True))
        assert not out.any()


def test_the_reference_takes_weight_and_bias_alone() -> None:
    y = random(torch.Generator().manual_seed(0), 2, 3, 4, 5).double()
    s = S.double() * torch.tensor([[0.5], [2.0]])
    for gamma, beta in ((s, None), (None, s)):
        out = reference.batch_norm_leaky_relu(y, gamma, beta, None, None, slope=0.2, **TRAINING)
        torch.testing.assert_close(out, exact(y, gamma, beta, 0.2))
    with ops.use_backend("reference"), pytest.raises(ValueError, match="4D"):
        batch_norm_leaky_relu(y[0], None, None, None, None, **TRAINING)

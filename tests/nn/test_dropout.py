from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ganzoo.nn import Dropout
from ganzoo.ops import use_backend


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("channels_last", [True, False])
def test_keeps_the_share_that_it_should_and_scales_it(p: float, channels_last: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 40, 9, 7).abs().add(0.1)
    x = x.contiguous(memory_format=torch.channels_last) if channels_last else x
    x.requires_grad_()
    out = Dropout(p)(x)
    assert out.stride() == x.stride()
    kept = out != 0
    n, deviations = x.numel(), 4 * (p * (1 - p) / x.numel()) ** 0.5
    assert abs(kept.float().mean() - (1 - p)) < deviations
    scale = round(65536 * p) / 65536
    torch.testing.assert_close(out[kept], x[kept] / (1 - scale))
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient, kept / (1 - scale))
    flat = kept.permute(0, 2, 3, 1).flatten() if channels_last else kept.flatten()
    for distance in (1, 2, 3, 4):  # numbers whose bits are of one random word, or of two
        both = (flat[distance:] & flat[:-distance]).float().mean()
        assert abs(both - (1 - p) ** 2) < 4 / n**0.5


def test_other_shapes_and_dtypes() -> None:
    for shape in ((0, 3), (5,), (2, 3, 5)):
        assert Dropout(0.5)(torch.ones(shape)).shape == shape
    assert set(Dropout(0.5)(torch.ones(100, dtype=torch.bfloat16)).tolist()) == {0.0, 2.0}


def test_the_same_seed_gives_the_same_mask() -> None:
    def draw() -> Tensor:
        torch.manual_seed(1)
        return Dropout(0.5)(torch.ones(1000))

    assert torch.equal(draw(), draw())


def test_nothing_all_and_evaluation() -> None:
    x = torch.randn(3, 4)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert not Dropout(1.0)(x).any()


def test_the_reference_is_pytorchs() -> None:
    x = torch.randn(100)
    torch.manual_seed(2)
    with use_backend("reference"):
        ours = Dropout(0.3)(x)
    torch.manual_seed(2)
    assert torch.equal(ours, nn.Dropout(0.3)(x))

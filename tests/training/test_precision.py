"""Whichever of torch's names for it a user has used, products are as asked for, and the user's choice comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

import ganzoo
from ganzoo.ops import cuda_library
from ganzoo.training import precision

BACKENDS = torch.backends
KINDS = (BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn, BACKENDS.cuda.matmul)


def chosen() -> list[str]:
    return [kind.fp32_precision for kind in KINDS]


@pytest.fixture(params=["untouched", "older names", "newer names"])
def user(request: pytest.FixtureRequest) -> Iterator[str]:
    before, general = chosen(), BACKENDS.fp32_precision
    if request.param == "older names":
        BACKENDS.cudnn.allow_tf32, BACKENDS.cuda.matmul.allow_tf32 = False, True
    elif request.param == "newer names":
        BACKENDS.fp32_precision, BACKENDS.cudnn.conv.fp32_precision = "tf32", "ieee"
    yield request.param
    BACKENDS.fp32_precision, BACKENDS.cudnn.allow_tf32 = general, before[0] == "tf32"
    BACKENDS.cuda.matmul.allow_tf32 = before[2] == "tf32"
    for kind, value in zip(KINDS, before):
        kind.fp32_precision = value


@pytest.mark.parametrize("on", [True, False])
def test_products_are_as_asked_for_and_then_as_before(user: str, on: bool) -> None:
    before = chosen()
    with precision.tf32(on):
        assert chosen() == ["tf32" if on else "ieee"] * 3
        assert BACKENDS.cudnn.allow_tf32 is BACKENDS.cuda.matmul.allow_tf32 is cuda_library.allows_tf32() is on
    assert chosen() == before


def test_training_does_not_mind(user: str) -> None:
    before = chosen()
    ganzoo.train("vanilla", dataset="digits", steps=1, batch_size=4, device="cpu")
    assert chosen() == before

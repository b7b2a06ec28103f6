"""`tf32` sets the precision of products and restores the user's choice, made with any of torch's flags."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import ganzoo
from ganzoo.ops import cuda_library
from ganzoo.training import precision

BACKENDS = torch.backends
KINDS = (BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn, BACKENDS.cuda.matmul)


def precisions() -> list[str]:
    return [kind.fp32_precision for kind in KINDS]


@pytest.fixture(params=["untouched", "older names", "newer names"])
def user(request: pytest.FixtureRequest) -> Iterator[str]:
    before, general = precisions(), BACKENDS.fp32_precision
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
def test_tf32_sets_the_precision_and_restores_it(user: str, on: bool) -> None:
    before = precisions()
    with precision.tf32(on):
        assert precisions() == ["tf32" if on else "ieee"] * 3
        assert BACKENDS.cudnn.allow_tf32 is BACKENDS.cuda.matmul.allow_tf32 is cuda_library.allows_tf32() is on
    assert precisions() == before


def test_training_works_and_keeps_the_users_choice(user: str, tmp_path: Path) -> None:
    before = precisions()
    ganzoo.train("vanilla", dataset="digits", steps=1, batch_size=4, device="cpu", out=tmp_path / "run")
    assert precisions() == before

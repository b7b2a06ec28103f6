"""`tf32` sets the precision of products and restores the choice made with any of torch's flags; bf16 on CPUs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import ganzoo
from ganzoo import ops
from ganzoo.ops import cpu_library, cuda_library
from ganzoo.training import precision
from tests.ops.conftest import needs_native
from tests.runs import assert_same, last_state
from tests.sessions import new_state, session

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


OPTIONS: dict[str, Any] = {"dataset": "digits", "batch_size": 16, "width": 16, "image_size": 16, "device": "cpu"}


@pytest.mark.skipif(not cpu_library.has_bfloat16(), reason="the processor has no products of bfloat16")
def test_training_in_bfloat16_by_the_native_kernels_resumes_exactly(tmp_path: Path) -> None:
    options = OPTIONS | {"precision": "bf16", "checkpoint_every": 2}
    with ops.use_backend("native"):
        whole = ganzoo.train("dcgan", steps=4, out=tmp_path / "whole", **options)
        ganzoo.train("dcgan", steps=2, out=tmp_path / "parts", **options)
        parts = ganzoo.train(resume=tmp_path / "parts", steps=4)
    assert_same(last_state(parts.path), last_state(whole.path))
    assert all(t.dtype == torch.float32 for t in last_state(whole.path)["model"].values() if t.is_floating_point())


@needs_native
@pytest.mark.parametrize(("name", "count"), [("bf16", 1), ("fp32", 0)])
def test_a_note_where_bfloat16_is_slower(name: str, count: int) -> None:
    state = new_state(session("cgan", precision=name, device="cpu"))
    cpu_library.choose_instruction_set("generic")
    try:
        notes = precision.note_on_bfloat16(state)
    finally:
        cpu_library.choose_instruction_set(None)
    assert len(notes) == count
    assert all("bf16 is no faster than fp32 here" in note for note in notes)
    if cpu_library.has_bfloat16():
        assert precision.note_on_bfloat16(state) == []

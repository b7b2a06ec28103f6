"""Comparing runs, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ganzoo.training import checkpoint
from ganzoo.training.run import Run


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Assert that two nested states are equal in every tensor, number and type."""
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), f"{where} differs"
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other)):
            assert_same(a, b, f"{where}[{i}]")
    else:
        assert one == other, where


def last_state(run: Path) -> dict[str, Any]:
    """All that the newest checkpoint of a run holds, except the time it took."""
    path, problems = checkpoint.newest_valid(run / "checkpoints")
    assert not problems
    state = checkpoint.read_state(path)
    del state["seconds"]
    return {
        "model": {name: tensor.clone() for name, tensor in load_file(path / "model.safetensors").items()},
        "ema": {name: tensor.clone() for name, tensor in load_file(path / "ema.safetensors").items()},
        "state": state,
    }


def timeless(run: Path) -> list[dict[str, Any]]:
    """The logged metrics of a run without what depends on the clock."""
    clock = {"seconds", "images_per_second"}
    return [{k: v for k, v in row.items() if k not in clock} for row in Run.open(run).metrics()]

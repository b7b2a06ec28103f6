"""An option given twice, where its last value would silently replace the first."""

from __future__ import annotations

import pytest

from tests.conftest import Command


@pytest.mark.parametrize(
    "words",
    [
        ("train", "acgan", "--dataset", "digits", "--recipe", "few", "--recipe=long"),
        ("train", "vanilla", "--dataset", "digits", "--dataset", "ring"),
        ("train", "--config", "one.toml", "--config", "two.toml"),
        ("evaluate", "run", "--metrics", "frechet", "--metrics", "swd"),
        ("export", "run", "--to", "onnx", "--to", "html"),
        ("check", "--loss", "hinge", "--loss", "energy"),
    ],
)
def test_it_is_refused_if_it_looks_like_one_that_can_be_repeated(words: tuple[str, ...], ganzoo_cli: Command) -> None:
    result = ganzoo_cli(*words)
    name = words[-1].partition("=")[0] if words[-1].startswith("--") else words[-2]
    assert result.code == 2
    assert f"Error: {name} is given twice, and only the last would count. Write one {name}" in result.err


def test_others_can_be_changed_by_what_follows(ganzoo_cli: Command) -> None:
    train = (
        "train",
        "vanilla",
        "--dataset",
        "digits",
        "--dry-run",
        "--logger",
        "tensorboard",
        "--logger",
        "tensorboard",
    )
    result = ganzoo_cli(*train, "--steps", 2, "--steps", 3, "--device", "meta", "--device", "cpu")
    assert result.code == 0, result.err

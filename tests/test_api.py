from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ganzoo
from ganzoo.core.errors import GanzooError, PluginError, UsageError
from ganzoo.training.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("api") / "run"
    return ganzoo.train("cgan", dataset="digits", steps=5, batch_size=16, out=out)


def test_names() -> None:
    assert {"vanilla", "dcgan", "cgan", "wgan"} <= set(ganzoo.architectures())
    assert {"mnist", "fashion_mnist", "kmnist", "cifar10", "digits", "folder"} <= set(ganzoo.datasets())


def test_load_and_sample(run: Run) -> None:
    gan = ganzoo.load(run.path)
    images = gan.sample(16, labels=[3] * 16, seed=0)
    assert images.shape == (16, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert torch.equal(images, ganzoo.load(str(run.path)).sample(16, labels=[3] * 16, seed=0))
    assert not torch.equal(images, gan.sample(16, labels=[3] * 16, seed=1))


def test_load_gives_the_moving_average_of_the_last_sample_grid(run: Run) -> None:
    import numpy as np
    from PIL import Image

    from ganzoo.data.imaging import grid

    labels = torch.arange(10).repeat_interleave(10)
    shown = np.asarray(Image.open(run.grid))
    assert np.array_equal(grid(ganzoo.load(run.path).sample(100, labels, seed=0), 10)[0].numpy(), shown)


def test_load_refuses_a_directory_that_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a run directory: it has no config\.json"):
        ganzoo.load(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(GanzooError, match="is not a run of this version"):
        ganzoo.load(tmp_path)


def test_a_run_of_an_uninstalled_plugin_says_what_to_install(run: Run, tmp_path: Path) -> None:
    config = json.loads((run.path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architecture": "gone", "distribution": "ganzoo-gone"}))
    with pytest.raises(PluginError, match="pip install ganzoo-gone"):
        ganzoo.load(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"best_by": ["fid"], "evaluate_every": 1}, "best_by=fid is not valid: expected text or none"),
        ({"callbacks": 5}, "callbacks must be instances of ganzoo.Callback, but 5 is not"),
        ({"callbacks": [ganzoo.Callback]}, r"is not: write Callback\(\)"),
        ({"settings": "batch_size=8"}, "settings must be a dictionary"),
        ({"settings": {1: 2}}, "settings must be a dictionary"),
        ({"steps": Decimal("NaN")}, "steps=NaN is not valid"),
        ({"steps": Fraction(5, 2)}, "steps=5/2 is not valid"),
        ({"dataset": np.zeros((400, 2))}, r"dataset=\[\[0. 0.\].{90,99}\.\.\. is not valid"),
        ({"data_dir": 5}, "data_dir=5 is not valid"),
    ],
)
def test_arguments_of_a_wrong_type_are_one_message(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        ganzoo.train("vanilla", out=tmp_path / "run", **{"dataset": "ring", "steps": 1, **arguments})
    assert not (tmp_path / "run").exists()


def test_numbers_of_any_type_and_none_are_understood(tmp_path: Path) -> None:
    settings = {"generator_widths": range(8, 9), "penalty": None, "spectral_norm": None, "batch_size": Fraction(8)}
    options: dict[str, Any] = {"steps": Decimal(1), "callbacks": ganzoo.Callback(), "settings": settings}
    run = ganzoo.train("vanilla", dataset="ring", out=tmp_path / "run", **options)
    chosen = ganzoo.Run.open(run).config["settings"]
    assert [chosen[name] for name in settings] == [[8], "none", "none", 8]
    assert "modes" in ganzoo.evaluate(run, metrics="modes", samples=np.float32(2500)).figures


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"samples": 2.5}, "samples=2.5 is not valid"),
        ({"seed": -1}, "seed=-1 is not valid"),
        ({"metrics": 5}, "Expected the names of metrics"),
        ({"reference": "val"}, "There is no split 'val'"),
        ({"data_dir": 5}, "5 is not a directory with data files"),
        ({"dataset": 5}, "Expected the name of a data set"),
        ({"device": 0}, "Device '0' cannot be used here"),
    ],
)
def test_wrong_arguments_of_evaluate_are_one_message(run: Run, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ganzoo.evaluate(run, **{"metrics": [], "samples": 10, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 2.5}, "count=2.5 is not valid"),
        ({"count": 2, "chunk": 0}, "chunk=0 is not valid"),
        ({"count": 2, "seed": "x"}, "seed=x is not valid"),
        ({"count": 2, "labels": object()}, "Expected a list of 2 labels"),
        ({"count": 2, "sampling": "x"}, "Expected sampling settings as a dictionary"),
    ],
)
def test_wrong_arguments_of_sample_are_one_message(run: Run, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ganzoo.load(run).sample(**arguments)
    assert len(ganzoo.load(run).sample(np.int64(2), labels=(label for label in "12"), seed=np.uint8(3))) == 2


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trane'"):
        ganzoo.trane  # noqa: B018


def test_labels_are_names_first_and_numbers_where_no_class_is_named_by_one() -> None:
    from ganzoo.gan.sampling import checked_labels

    counted = ("0", "1", "10", "2")
    assert checked_labels(["2", "10"], 2, 4, counted).tolist() == [3, 2]
    assert checked_labels(["index:3"], 1, 4, counted).tolist() == [3]
    assert checked_labels(["1", "dog"], 2, 2, ("cat", "dog")).tolist() == [1, 1]
    assert checked_labels(["Cafe\u0301"], 1, 1, ("Caf\u00e9",)).tolist() == [0]
    for labels, words in (
        (["3"], "'3' is not a class of this GAN"),
        (3, "Expected a list of 1 labels"),
        ("3", "Expected a list of 1 labels"),
        ([0.5], "whole numbers or names"),
        ([None], "whole numbers or names"),
        (["index:9"], "is not a class"),
    ):
        with pytest.raises(ganzoo.errors.UsageError, match=words):
            checked_labels(labels, 1, 4, counted)  # type: ignore[arg-type]


def test_a_loaded_gan_knows_its_class_names(tmp_path: Path) -> None:
    run = ganzoo.train("cgan", dataset="digits", steps=1, width=8, out=tmp_path / "run")
    gan = ganzoo.load(run.path)
    assert gan.class_names == tuple("0123456789")
    assert torch.equal(gan.sample(2, ["7", "1"], seed=0), gan.sample(2, [7, 1], seed=0))

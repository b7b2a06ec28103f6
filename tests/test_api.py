from __future__ import annotations

import json
from pathlib import Path

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

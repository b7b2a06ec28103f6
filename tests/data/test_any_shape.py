"""Data of any shape, from the card to samples: each architecture and data set is a package of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ganzoo
from ganzoo.core.errors import UsageError
from tests.conftest import Command, Site

DATASETS = """
    import numpy as np
    from ganzoo.plugin import Dataset

    def waves(count, channels, height, width, seed, dtype=np.uint8):
        rng = np.random.default_rng(seed)
        y, x = np.mgrid[0:1:height * 1j, 0:1:width * 1j]
        phase, slope = rng.uniform(0, 6, (2, count, channels, 1, 1))
        top = np.iinfo(dtype).max / 2
        return (top * (1 + np.sin(phase + slope * (x + y)))).round().astype(dtype)

    class Base(Dataset):
        api_version = 1
        summary = "waves"
        source = "generated"

        def load(self, where, split, image_size, argument):
            from ganzoo.data import ArrayData
            seed = 0 if split == "train" else 1
            target, given, more = self.arrays(seed)
            names = ("a", "b") if "label" in given else ()
            return ArrayData(target, type(self).__name__, split, given, class_names=names, **more)

    class Wide(Base):
        def arrays(self, seed):
            return waves(64, 3, 8, 12, seed), {"label": np.arange(64) % 2}, {}

    class Deep(Base):
        def arrays(self, seed):
            return waves(64, 6, 8, 8, seed, np.uint16), {}, {}

    class Smaller(Base):
        paired = True
        def arrays(self, seed):
            target = waves(64, 1, 16, 16, seed)
            return target, {"input": target[:, :, ::4, ::4].copy()}, {}

    class Apart(Base):
        paired = True
        def arrays(self, seed):
            return waves(64, 1, 8, 8, seed), {"input": 255 - waves(48, 1, 8, 8, seed + 7)}, {"aligned": False}

    class Both(Base):
        paired = True
        def arrays(self, seed):
            target = waves(64, 1, 8, 8, seed)
            return target, {"label": np.arange(64) % 2, "input": 255 - target}, {}

    class Partly(Base):
        def arrays(self, seed):
            return waves(64, 1, 8, 8, seed), {"label": np.arange(64) % 3 - 1}, {}

    class Attributes(Base):
        def arrays(self, seed):
            attributes = np.random.default_rng(seed).uniform(-1, 1, (64, 3)).astype(np.float32)
            return waves(64, 1, 8, 8, seed), {"attributes": attributes}, {"modalities": {"attributes": "points"}}
"""
ARCHITECTURES = """
    import math
    import torch
    from torch import nn
    from ganzoo import GAN, Architecture

    class Generator(nn.Module):
        def __init__(self, config, spec):
            super().__init__()
            self.spec = spec
            self.body = nn.Linear(config.latent_dim + features(spec), math.prod(spec.shape))

        def forward(self, z, condition):
            flat = flatten(self.spec, condition)
            return self.body(torch.cat([z, *flat], 1)).tanh().unflatten(1, self.spec.shape)

    class Discriminator(nn.Module):
        def __init__(self, spec):
            super().__init__()
            self.spec = spec
            self.body = nn.Linear(math.prod(spec.shape) + features(spec), 1)

        def forward(self, images, condition):
            return self.body(torch.cat([images.flatten(1), *flatten(self.spec, condition)], 1)).squeeze(1)

    def features(spec):
        return sum(spec.classes + 1 if name == "label" else math.prod(f.shape) for name, f in spec.given.items())

    def flatten(spec, condition):
        if len(spec.given) == 1:
            condition = {next(iter(spec.given)): condition}
        return [
            nn.functional.one_hot(part + 1, spec.classes + 1).float() if name == "label" else part.flatten(1)
            for name, part in (condition or {}).items()
        ]

    class Base(Architecture):
        api_version = 1
        summary = "linear networks for any shape"
        paper = "none"

        def build(self, config, spec):
            return GAN(Generator(config, spec), Discriminator(spec), config, spec)

    class Plain(Base):
        pass

    class FromInput(Base):
        given = ("input",)

    class Unpaired(FromInput):
        unpaired = True

    class Star(Base):
        given = ("label", "input")

    class Semi(Base):
        given = ("label",)
        unknown_labels = True

    class ByAttributes(Base):
        given = ("attributes",)
"""
NAMES = {name.lower(): name for name in ("Wide", "Deep", "Smaller", "Apart", "Both", "Partly", "Attributes")}
CARDS = {"plain": "Plain", "frominput": "FromInput", "unpaired": "Unpaired", "star": "Star", "semi": "Semi",
         "byattributes": "ByAttributes"}  # fmt: skip


@pytest.fixture(autouse=True)
def packages(site: Site, install: Callable[[Site], None]) -> None:
    site.add("some-waves", DATASETS, datasets=NAMES)
    site.add("any-shape", ARCHITECTURES, architectures=CARDS)
    install(site)


def train(path: Path, architecture: str, dataset: str, steps: int = 3, **options: object) -> ganzoo.training.run.Run:
    return ganzoo.train(architecture, dataset=dataset, steps=steps, batch_size=8, out=path, device="cpu", **options)


@pytest.mark.parametrize(
    ("architecture", "dataset", "shape"),
    [
        ("plain", "wide", (3, 8, 12)),
        ("vanilla", "wide", (3, 8, 12)),
        ("plain", "deep", (6, 8, 8)),
        ("frominput", "smaller", (1, 16, 16)),
        ("unpaired", "apart", (1, 8, 8)),
        ("star", "both", (1, 8, 8)),
        ("semi", "partly", (1, 8, 8)),
        ("byattributes", "attributes", (1, 8, 8)),
    ],
)
def test_trains_samples_and_evaluates(
    architecture: str, dataset: str, shape: tuple[int, ...], tmp_path: Path, ganzoo_cli: Command
) -> None:
    run = train(tmp_path / "run", architecture, dataset)
    assert run.spec.shape == shape
    assert len(list(run.samples.glob("*.png"))) == 2
    for target in ("grid.png", "arrays.npz", "files"):
        done = ganzoo_cli("sample", str(run.path), "--count", "4", "--seed", "1", "--out", str(tmp_path / target))
        assert done.code == 0, done.err
    with np.load(tmp_path / "arrays.npz") as arrays:
        assert arrays["images"].shape == (4, *shape)
        assert arrays["images"].dtype == (np.uint16 if dataset == "deep" else np.uint8)
    assert len(list((tmp_path / "files").rglob("*.png"))) in (4, 8, 12)
    done = ganzoo_cli("evaluate", str(run.path), "--metrics", "ms_ssim", "--samples", "40")
    assert done.code == 0, done.err


def test_resumes_exactly_with_domains_that_are_not_aligned(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", "unpaired", "apart", steps=20)
    half = train(tmp_path / "half", "unpaired", "apart", steps=9)
    ganzoo.train(resume=half.path, steps=20)
    weights = [(run.checkpoints / "step-00000020/model.safetensors").read_bytes() for run in (whole, half)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("architecture", "dataset", "words"),
    [
        ("stylegan2", "wide", "needs square images, but these have 8x12 pixels"),
        ("frominput", "apart", "needs pairs, but the inputs and targets of Apart do not belong together"),
        ("frominput", "wide", "starts from inputs and needs pairs, but Wide has none"),
        ("cgan", "partly", "needs the label of every example, but 22 of 64 in Partly have none"),
        ("byattributes", "wide", "needs attributes; Wide has label beside its target"),
        ("star", "smaller", "is conditional and needs labels, but Smaller has none"),
    ],
)
def test_what_an_architecture_cannot_serve_is_refused_before_a_run_exists(
    architecture: str, dataset: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=words):
        train(tmp_path / "run", architecture, dataset)
    assert not (tmp_path / "run").exists()


def test_inputs_of_another_size_are_refused_by_architectures_that_know_one_size(
    tmp_path: Path, site: Site, install: Callable[[Site], None]
) -> None:
    code = """
        from ganzoo import GAN, Architecture

        class Old(Architecture):
            api_version = 1
            summary = "knows channels only"
            paper = "none"
            paired = True

            def build(self, config, spec):
                from torch import nn
                return GAN(nn.Conv2d(spec.inputs, 1, 1), nn.Conv2d(1, 1, 1), config, spec)
    """
    site.add("old-card", code, architectures={"old": "Old"})
    ganzoo.core.registry.refresh()
    with pytest.raises(UsageError, match="the inputs are 1x4x4 images, and the data 1x16x16"):
        train(tmp_path / "run", "old", "smaller")
    assert not (tmp_path / "run").exists()


def test_a_damaged_description_of_the_data_is_refused(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "plain", "wide")
    config = json.loads((run.path / "config.json").read_text())
    for damage in ({"modality": "images", "shape": [-1, 8, 12], "facts": {}}, {"shape": [1]}, 3, None):
        config["dataset"]["fields"]["target"] = damage
        (run.path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ganzoo.errors.GanzooError, match=r"damaged: dataset\.fields"):
            ganzoo.load(run.path)


def test_the_pictures_show_what_the_gan_made(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "frominput", "smaller")
    with Image.open(run.samples / "step-00000003.png") as picture:
        assert picture.size == (10 * 18 + 2, 9 * 18 + 2)  # rows of inputs, enlarged, outputs and targets
    grid = torch.from_numpy(np.asarray(Image.open(run.samples / "step-00000003.png")).copy())
    first = ganzoo.data.open("smaller").arrays["input"][0, 0]
    assert np.array_equal(grid[2:18:4, 2:18:4], first)

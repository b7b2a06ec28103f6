from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from ganzoo_plugins.datasets.corruptions import Blur, Mask, Mosaic
from PIL import Image

import ganzoo.data
from ganzoo.core.errors import UsageError
from ganzoo.core.spec import DataSpec
from ganzoo.data import absolute_name
from ganzoo.data.images import ImageData
from ganzoo.training.batches import Batches

CORRUPTIONS = ["mosaic", "blur", "mask"]
IMAGES = torch.randint(256, (5, 3, 10, 10), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_mosaic_holds_the_mean_of_every_block() -> None:
    mosaic = Mosaic().corrupt(IMAGES, rng(), 4).float()
    for top in range(0, 10, 4):
        for left in range(0, 10, 4):
            block = np.s_[..., top : top + 4, left : left + 4]
            expected = IMAGES[block].float().mean(dim=(2, 3)).round()
            torch.testing.assert_close(mosaic[block].amin(dim=(2, 3)), expected)
            torch.testing.assert_close(mosaic[block].amax(dim=(2, 3)), expected)


def test_a_blur_is_a_gaussian_of_that_width() -> None:
    scipy = pytest.importorskip("scipy.ndimage")
    blurs = Blur().corrupt(IMAGES, rng(), 2).numpy().astype(int)
    for image, blurred in zip(IMAGES.flatten(0, 1).numpy(), blurs.reshape(-1, 10, 10)):
        expected = scipy.gaussian_filter(image.astype(float), 2, mode="nearest", truncate=3)
        assert abs(blurred - expected).max() <= 0.51


def test_a_mask_is_a_grey_square_somewhere() -> None:
    images = torch.zeros(200, 2, 10, 10, dtype=torch.uint8)
    hole = Mask().corrupt(images, rng(), 4) == Mask.GREY
    assert hole.sum(dim=(1, 2, 3)).eq(2 * 16).all()
    assert torch.equal(hole[:, 0], hole[:, 1])
    assert hole.any(dim=2).sum(dim=2).eq(4).all()
    assert hole[:, 0].any(dim=0).all(), "some pixels are never hidden"
    assert torch.equal(Mask().corrupt(images, rng(), 4) == Mask.GREY, hole)
    assert not torch.equal(Mask().corrupt(images, rng(1), 4) == Mask.GREY, hole)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_any_data_set_becomes_pairs(name: str) -> None:
    plain, data = ganzoo.data.open("digits"), ganzoo.data.open(f"{name}:3:digits")
    assert data.spec == DataSpec(1, 8, 10, inputs=1)
    assert plain.spec.inputs == 0
    assert (data.sha256, data.labels is None) == (plain.sha256, False)
    inputs, targets = data.examples(4)
    assert np.array_equal(targets, plain.images[:4])
    assert inputs.shape == targets.shape
    assert not torch.equal(inputs, targets)
    assert torch.equal(inputs, data.examples(4)[0])
    assert ganzoo.data.open(f"{name}:digits", image_size=16).spec == DataSpec(1, 16, 10, inputs=1)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(("height", "width"), [(6, 10), (10, 6)])
def test_images_that_are_not_square_or_of_16_bits(bits: int, height: int, width: int, tmp_path: Path) -> None:
    full = 2**bits - 1
    pixels = np.random.default_rng(0).integers(0, full + 1, (40, height, width)).astype(f"uint{bits}")
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / f"{number:02}.png")
    for name in CORRUPTIONS:
        data = ganzoo.data.open(f"{name}:2:folder:bits={bits}:{tmp_path}")
        inputs, targets = data.examples(40)
        assert (inputs.shape, inputs.dtype) == (targets.shape, targets.dtype)
        assert float(inputs.double().mean()) == pytest.approx(float(targets.double().mean()), rel=0.05)
    black = torch.zeros(400, 1, height, width, dtype=targets.dtype)
    hole = Mask().corrupt(black, rng(), 4).long() == round(128 / 255 * full)
    assert hole.sum(dim=(1, 2, 3)).eq(16).all()
    assert hole.any(dim=0).all(), "some pixels are never hidden"


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_batches_hold_the_inputs_of_their_images_and_depend_on_seed_and_number_alone(name: str) -> None:
    data = ganzoo.data.open(f"{name}:3:digits").only(("input",))
    one, other = (Batches(data, 50, 7, torch.device("cpu")) for _ in range(2))
    backwards = {number: other(number) for number in (40, 3, 0)}
    for number, (images, inputs) in backwards.items():
        again = one(number)
        assert inputs is not None
        assert again[1] is not None
        assert torch.equal(again[0], images)
        assert torch.equal(again[1], inputs)
        own = (images - inputs).abs().flatten(1).mean(dim=1)
        others = (images - inputs.roll(1, 0)).abs().flatten(1).mean(dim=1)
        assert own.mean() < others.mean()


def test_masks_differ_from_epoch_to_epoch() -> None:
    corrupt = partial(Mask().corrupt, pixels=4)
    data = ImageData(np.zeros((4, 1, 8, 8), np.uint8), None, (), "black", "train", "", corrupt=corrupt)
    batches = Batches(data, 4, 0, torch.device("cpu"))
    assert len({batches(number)[1].numpy().tobytes() for number in range(5)}) > 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mosaic:9:digits", "expected 1 to 8 pixels"),
        ("blur:0:digits", "expected 1 to 8 pixels"),
        ("mosaic:mosaic:digits", "is already a data set of pairs"),
        ("mask:digit", "Did you mean digits"),
        ("mask", r"write mask:\[PIXELS:\]DATASET"),
    ],
)
def test_invalid_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ganzoo.data.open(name)


def test_paths_inside_a_name_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_name("mosaic:folder:x") == f"mosaic:folder:{tmp_path}/x"
    assert absolute_name("mask:4:folder:x") == f"mask:4:folder:{tmp_path}/x"
    assert absolute_name("blur:digits") == "blur:digits"

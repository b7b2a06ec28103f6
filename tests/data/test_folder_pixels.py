"""`folder:` reads every common format, depth and mode of an image, and names what it cannot read."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from ganzoo_plugins.datasets.folder import Folder
from PIL import Image

from ganzoo.core.errors import DataError
from ganzoo.core.spec import DataLocation
from tests.data.pictures import GREEN, RED, draw, load


def test_decompression_bombs_are_skipped(where: DataLocation, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(root / "big.png", size=(90, 90))
    draw(root / "medium.png", size=(40, 40))
    draw(root / "small.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # PIL warns above it and refuses twice as much
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load(where, root)
    assert len(data) == 2
    assert "big.png (Image size (8100 pixels) exceeds limit" in data.notes[0]


@pytest.mark.parametrize(
    ("ending", "mode", "colour", "expected"),
    [
        ("png", "1", 1, [255]),
        ("png", "L", 77, [77]),
        ("png", "LA", (0, 0), [255]),
        ("png", "I;16", 257 * 90, [90]),
        ("tiff", "I", 257 * 30, [30]),
        ("png", "RGBA", (0, 0, 255, 0), [255, 255, 255]),
        ("png", "RGBA", (0, 0, 0, 127), [128, 128, 128]),
        ("gif", "RGB", (255, 0, 0), [255, 0, 0]),
        ("tiff", "CMYK", (0, 255, 255, 0), [255, 0, 0]),
        ("bmp", "RGB", (1, 2, 3), [1, 2, 3]),
    ],
)
def test_pixel_formats(
    where: DataLocation, root: Path, ending: str, mode: str, colour: object, expected: list[int]
) -> None:
    draw(root / f"it.{ending}", mode, colour)
    assert load(where, root).images[0, :, 4, 4].tolist() == expected


def test_palette_with_transparency_is_put_on_white(where: DataLocation, root: Path) -> None:
    image = Image.new("P", (12, 12), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.paste(0, (0, 0, 6, 12))
    image.save(root / "it.png", transparency=0)
    pixels = load(where, root, image_size=12).images[0]
    assert pixels[:, 6, 2].tolist() == [255, 255, 255]
    assert pixels[:, 6, 9].tolist() == [10, 20, 30]


def test_float_pixels_are_skipped_with_the_reason(where: DataLocation, root: Path) -> None:
    draw(root / "it.tiff", "F", 0.5)
    with pytest.raises(DataError, match="float pixels have no defined range"):
        load(where, root)


def test_the_first_frame_of_an_animation(where: DataLocation, root: Path) -> None:
    Image.new("RGB", (12, 12), RED).save(
        root / "it.gif", save_all=True, append_images=[Image.new("RGB", (12, 12), GREEN)]
    )
    assert load(where, root).images[0, :, 4, 4].tolist() == [255, 0, 0]


def test_a_single_pixel_and_a_strip_of_20_000_are_images(where: DataLocation, root: Path) -> None:
    draw(root / "dot.png", colour=(9, 8, 7), size=(1, 1))
    draw(root / "strip.png", colour=(1, 2, 3), size=(20_000, 1))
    images = load(where, root).images
    assert images.shape == (2, 3, 8, 8)
    assert [image[:, 4, 4].tolist() for image in images] == [[9, 8, 7], [1, 2, 3]]
    assert (images == images[:, :, :1, :1]).all()


def test_cropped_in_the_centre_and_turned_upright(where: DataLocation, root: Path) -> None:
    image = Image.new("RGB", (60, 20), GREEN)
    image.paste(RED, (20, 0, 40, 10))
    image.save(root / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(root / "b.png", exif=exif)
    plain, turned = load(where, root, image_size=10).images
    assert plain[:, 1, 4].tolist() == pytest.approx([255, 0, 0], abs=2)  # the filter blurs edges
    assert plain[:, 8, 4].tolist() == pytest.approx([0, 255, 0], abs=2)
    assert np.array_equal(turned, plain[:, ::-1, ::-1])


def test_only_formats_that_hold_pixels_are_opened(where: DataLocation, root: Path) -> None:
    draw(root / "good.png")
    (root / "innocent.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    assert "1 of 2 files skipped: innocent.png (cannot identify image)" in load(where, root).notes[0]


def test_twelve_bits_in_sixteen_are_noticed_and_can_be_stretched_or_kept(where: DataLocation, root: Path) -> None:
    ramp = np.arange(144, dtype=np.uint16).reshape(12, 12) * 28
    Image.fromarray(ramp).save(root / "a.png")
    dark = load(where, root, image_size=None)
    assert "16-bit images use only the values up to 4,004 of 65,535" in dark.notes[0]
    assert "range=0-4095 before the path" in dark.notes[0]
    assert dark.images.max() == 16
    light = Folder().load(where, "train", None, f"range=0-4095:{root}")
    assert (light.images.max(), light.notes) == (249, ())
    kept = Folder().load(where, "train", None, f"bits=16,range=0-4095:{root}")
    assert kept.images.dtype == np.uint16
    assert np.abs(kept.images[0, 0].astype(int) - ramp.astype(int) * 65535 // 4095).max() <= 1
    assert np.array_equal(Folder().load(where, "train", None, f"bits=16:{root}").images[0, 0], ramp)
